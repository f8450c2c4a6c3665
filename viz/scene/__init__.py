"""What a picture shows: nodes, edges, their text and their looks, made from graphs. No places."""
