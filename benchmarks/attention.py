"""A step of an encoder-decoder with additive attention (Bahdanau et al. 2015)."""

from __future__ import annotations

from typing import Any

import numpy as np

from .rows import Arrays, Systems, flat, ours, pool, side_by_side, torch_work
from .sequences import fused, packed_cell


def encoder_decoder(time: int, batch: int, inputs: int, hidden: int, tokens: int) -> Systems:
    """T tokens to T tokens: embeddings, an LSTM, an LSTM that attends at every step, a head.

    The loss is cross-entropy.
    No fused module of torch attends, so its decoder is a loop,
    with everything outside of it that does not depend on the state:
    before it keys and products of the inputs, behind it the head and the loss.
    """
    import recurrent as rc

    net = rc.encoder_decoder(
        rc.LSTM(inputs, hidden), rc.LSTM(inputs + hidden, hidden),
        source_tokens=tokens, target_tokens=tokens, attention="additive",
    )  # fmt: skip
    params = net.init(0)

    def draw(rng: np.random.Generator) -> Any:
        target = rng.integers(0, tokens, (time + 1, batch))
        return {
            "xs": rng.integers(0, tokens, (time, batch)),
            "read": target[:-1].copy(), "ys": target[1:].copy(),
        }  # fmt: skip

    def loss(p: Any, b: Any) -> Any:
        return rc.cross_entropy(net(p, b["xs"], b["read"]), b["ys"])

    def pack(p: Arrays) -> Arrays:
        cell = {k.removeprefix("cell."): v for k, v in p.items() if k.startswith("cell.")}
        w = side_by_side(cell, "ifgo", "W")
        return {
            **packed_cell("LSTM", p, "encoder."), "source_E": p["source_E"], "E": p["E"],
            "before": w[:inputs].copy(), "bias": side_by_side(cell, "ifgo", "b"),
            "inside": np.concatenate([w[inputs:], side_by_side(cell, "ifgo", "U")]),
            "start": np.concatenate([p["start.0.V"], p["start.1.V"]], 1),
            "start_bias": np.concatenate([p["start.0.c"], p["start.1.c"]]),
            "query": p["attention.W"], "keys": p["attention.U"], "v": p["attention.v"],
            "V": p["out.V"].T.copy(), "c": p["out.c"],
        }  # fmt: skip

    def decode(
        before: Any, memory: Any, keys: Any, h: Any, c: Any, query: Any, v: Any, inside: Any
    ) -> Any:
        """(T, B, 2H): the outputs and contexts of all steps."""
        import torch

        read = []
        for a in before.unbind(0):
            score = torch.tanh((h @ query).unsqueeze(1) + keys) @ v
            context = torch.bmm(torch.softmax(score, 1).unsqueeze(1), memory).squeeze(1)
            a = torch.addmm(a, torch.cat([context, h], 1), inside)
            gates, g = torch.sigmoid(a), torch.tanh(a[:, 2 * hidden : 3 * hidden])
            c = gates[:, hidden : 2 * hidden] * c + gates[:, :hidden] * g
            h = gates[:, 3 * hidden :] * torch.tanh(c)
            read.append(torch.cat([h, context], 1))
        return torch.stack(read)

    def theirs(script: bool) -> Any:
        def make(p: Any) -> Any:
            import torch
            from torch.nn.functional import cross_entropy, embedding, linear

            encoder, loop = fused("LSTM", p, "encoder."), decode

            def around(b: Any) -> Any:
                memory, _ = encoder(embedding(b["xs"], p["source_E"]))
                s = torch.tanh(torch.addmm(p["start_bias"], memory[-1], p["start"]))
                memory = memory.transpose(0, 1).contiguous()
                keys = memory @ p["keys"]
                x = embedding(b["read"], p["E"]).reshape(-1, inputs)
                before = torch.addmm(p["bias"], x, p["before"]).view(time, -1, 4 * hidden)
                return (before, memory, keys, s[:, :hidden], s[:, hidden:],
                        p["query"], p["v"], p["inside"])  # fmt: skip

            if script:
                import warnings

                first = {k: torch.from_numpy(v) for k, v in next(pool(draw, 1)).items()}
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    loop = torch.jit.trace(decode, around(first), check_trace=False)

            def loss(b: Any) -> Any:
                read = loop(*around(b)).reshape(-1, 2 * hidden)
                return cross_entropy(linear(read, p["V"], p["c"]), b["ys"].reshape(-1))

            return loss

        return make

    packed = pack(flat(params))
    return {
        "minigrad": lambda: ours(loss, params, pool(draw), pack),
        "torch loop": lambda: torch_work(theirs(script=False), packed, pool(draw)),
        "torch traced": lambda: torch_work(theirs(script=True), packed, pool(draw)),
    }
