"""Makes positions.safetensors for positions.rs beside it: learned positions, interpolated by PyTorch.

    python3 -m venv venv && venv/bin/pip install torch safetensors
    venv/bin/python tests/partial/make.py

The call is that of `PerceiverTrainablePositionEncoding.interpolate_pos_encoding` in Transformers 4.57.1, with the size to be
interpolated to. (Transformers computes this size and then passes that of the table, which changes nothing.) Tables are those
of checkpoints in tests/family/, and `table`, of 2 x 3 positions. All is computed in float64 and stored in float32.
"""

import pathlib

import torch
from safetensors.torch import load_file, save_file

FOLDER = pathlib.Path(__file__).parent


def interpolate(table, before, after):
    """Interpolates a table with a row for each position of a grid."""
    grid = table.double().reshape(1, *before, -1).permute(0, 3, 1, 2)
    grid = torch.nn.functional.interpolate(grid, size=after, mode="bicubic", align_corners=False)
    return grid.permute(0, 2, 3, 1).reshape(after[0] * after[1], -1).float().contiguous()


def of(file, name):
    return load_file(FOLDER / f"../family/{file}.safetensors")[name]


image = of("hf_learned", "perceiver.input_preprocessor.position_embeddings.position_embeddings")
positions = of("hf_mlm", "perceiver.input_preprocessor.position_embeddings.weight")
queries = of("hf_mlm", "perceiver.decoder.output_position_encodings.position_embeddings")
causal = of("ar", "input_adapter.pos_embedding.weight")
torch.manual_seed(3)
table = torch.randn(6, 4)
save_file(
    {
        "image 7 x 4": interpolate(image, (5, 5), (7, 4)),
        "image 3 x 2": interpolate(image, (5, 5), (3, 2)),
        "positions 17": interpolate(positions, (1, 11), (1, 17)),
        "queries 17": interpolate(queries, (1, 11), (1, 17)),
        "causal 9": interpolate(causal, (1, 20), (1, 9)),
        "table": table,
        "table 5 x 4": interpolate(table, (2, 3), (5, 4)),
    },
    FOLDER / "positions.safetensors",
)
