"""A finding of the fuzzer as a program that shows it, with public names only."""

from __future__ import annotations

from .cases import Case
from .worker import Wrong

ALL = """
for threads in "123":
    os.environ["MINIGRAD_NUM_THREADS"] = threads
    f = mg.function(step)
    for args in calls:
        graph = step(*mg.tensors(args))
        print(mg.reference(graph), mg.evaluate(graph), f(*args), f(*args))
        mg.reference(mg.unfold(graph, expand=True))
"""
THREADS = """
def bits(threads):
    os.environ["MINIGRAD_NUM_THREADS"] = str(threads)
    f = mg.function(step)
    found = [f(*args) for args in calls][{call}]{path}
    print(threads, "threads", found)
    return found.tobytes()


assert bits(1) == bits(2) == bits(3)
"""
AGAIN = """
f = mg.function(step)
first = f(*calls[{call}]){path}
for args in calls:
    f(*args)
again = f(*calls[{call}]){path}
print(first, again)
assert first.tobytes() == again.tobytes()
"""
DONATED = """
import copy

f, g = mg.function(step), mg.function(step, donate=0)
for args in calls[: {call} + 1]:
    found, donated = f(*args), g(copy.deepcopy(args[0]), *args[1:])
print(found{path}, donated{path})
assert found{path}.tobytes() == donated{path}.tobytes()
"""
VALUE = """
f = mg.function(step)
for args in calls[: {call} + 1]:
    graph = step(*mg.tensors(args))
    found = {found}
wanted = mg.reference(graph){path}
found = found{path}
print("found", found, "the reference says", wanted, sep="\\n")
np.testing.assert_allclose(found{at}, wanted{at}, rtol=0, atol={limit:.3g})
"""
FOUND = {
    "evaluate": "mg.evaluate(graph)",
    "unfold": "mg.reference(mg.unfold(graph, expand=True))",
    "function": "f(*args)",
}


def script(case: Case, wrong: Wrong, lanes: int | None = None) -> str:
    """What to run to see the finding; it ends with an error as long as the fault is there."""
    if not wrong.place:
        tail = ALL
    elif wrong.way == "function, donated":
        tail = DONATED
    elif "threads" in wrong.way:
        tail = THREADS
    elif wrong.way in FOUND:
        tail = VALUE if wrong.way != "evaluate" else VALUE.replace("f = mg.function(step)\n", "")
    else:
        tail = AGAIN
    path, index = wrong.place or ((), ())
    text = tail.format(
        call=wrong.call, path="".join(f"[{p!r}]" for p in path),
        at=f"[{', '.join(map(str, index))}]" if index else "",
        found=FOUND.get(wrong.way), limit=wrong.limit,
    )  # fmt: skip
    settings = {"MINIGRAD_LANES": str(lanes)} if lanes is not None else {}
    if "MINIGRAD_NUM_THREADS" in text:
        settings["MINIGRAD_SPLIT"] = "-1"  # threads share the smallest work
    title = f"{wrong.way}: {wrong.words.splitlines()[0]}".replace("\\", "/").replace('"', "'")
    head = [f'"""{title}"""', ""]
    if settings:
        head += ["import os", "", *(f'os.environ["{k}"] = "{v}"' for k, v in settings.items()), ""]
    more = "" if wrong.place else "".join(f"# {x}\n" for x in wrong.words.splitlines()[1:])
    return "\n".join([*head, case.text, text.strip("\n")]) + "\n" + more
