"""Makes the data of one workload: `prepare.py cpu|cuda WORKLOAD FOLDER`. What exists is left alone.

MODEL.safetensors has the weights, WORKLOAD.io.safetensors the input and what is expected of it, computed in float64
(the outputs, or the losses of the first steps), and WORKLOAD.xml the model as OpenVINO reads it.
"""

import pathlib
import sys

import torch
from perceiver_pytorch import Perceiver
from safetensors.torch import load_model, save_file, save_model
from workloads import LEARNING_RATE, MODELS, STEPS, WORKLOADS


def build(workload):
    """Its model with random weights."""
    if workload.model in MODELS:
        return Perceiver(**MODELS[workload.model])
    # Only these need perceiver-io, and only the published models Transformers.
    if workload.model == "Bytes":
        import causal

        return causal.build(workload.model, workload.tokens)
    import published

    return published.build(workload.model)


def random_input(workload):
    if workload.vocab:
        return torch.randint(workload.vocab, workload.shape)
    return torch.randn(*workload.shape)


def given(model, x):
    """The input as the model takes it."""
    return model.given(x) if hasattr(model, "given") else x


def targets(workload):
    classes = MODELS[workload.model]["num_classes"]
    return torch.arange(workload.shape[0]) % classes


def stepper(model, x, target, parts=1):
    """A function that trains for a step and gives the loss from before it. In parts a step takes less memory."""
    adam = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)

    def step():
        adam.zero_grad()
        total = 0.0
        for part, labels in zip(x.chunk(parts), target.chunk(parts)):
            loss = torch.nn.functional.cross_entropy(model(part), labels) * (len(part) / len(x))
            loss.backward()
            total += loss.detach()
        adam.step()
        return total

    return step


def load(workload, folder):
    model = build(workload)
    load_model(model, folder / f"{workload.model}.safetensors")
    return model


def prepare(device, name, folder):
    folder.mkdir(parents=True, exist_ok=True)
    workload = WORKLOADS[device][name]
    weights = folder / f"{workload.model}.safetensors"
    if not weights.exists():
        torch.manual_seed(0)
        save_model(build(workload), weights)

    data = folder / f"{name}.io.safetensors"
    if not data.exists():
        torch.manual_seed(1)
        x = random_input(workload)
        wide = x.to(device).double() if x.is_floating_point() else x.to(device)
        model = load(workload, folder).to(device).double().train(workload.training)
        model.parts = workload.wide_parts
        if workload.training:
            step = stepper(model, wide, targets(workload).to(device), len(x))
            expected = torch.stack([step() for _ in range(STEPS)])
        else:
            with torch.inference_mode():
                expected = torch.cat([model(given(model, part)) for part in wide.split(1)]).flatten()
        save_file(dict(input=x, expected=expected.float().cpu().clone()), data)

    network = folder / f"{name}.xml"
    if "openvino" in workload.peers and not network.exists():
        import openvino

        # Traced with a small image: the positions of the large one are computed, not recorded.
        small = torch.zeros(1, 4, 4, workload.shape[-1])
        model = load(workload, folder).eval()
        converted = openvino.convert_model(model, example_input=small)
        converted.reshape(list(workload.shape))
        openvino.save_model(converted, network, compress_to_fp16=False)


if __name__ == "__main__":
    prepare(sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3]))
