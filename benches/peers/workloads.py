"""What is compared, and with what goal. `workloads.rs` declares the same models, or takes them from the presets."""

from dataclasses import dataclass

README = dict(
    input_channels=3,
    input_axis=2,
    num_freq_bands=6,
    max_freq=10.0,
    depth=6,
    num_latents=256,
    latent_dim=512,
    cross_heads=1,
    latent_heads=8,
    cross_dim_head=64,
    latent_dim_head=64,
    num_classes=1000,
)
PAPER = dict(README, num_freq_bands=64, max_freq=224.0, depth=2, num_latents=512, latent_dim=1024)
SMALL = dict(
    input_channels=1,
    input_axis=2,
    num_freq_bands=6,
    max_freq=28.0,
    depth=2,
    num_latents=32,
    latent_dim=64,
    cross_heads=1,
    latent_heads=4,
    cross_dim_head=64,
    latent_dim_head=16,
    num_classes=10,
    weight_tie_layers=True,
)
# Models of perceiver-pytorch; published.py has those of Transformers.
MODELS = {"ReadMe": README, "Paper": PAPER, "Small": SMALL}

# As in `workloads.rs`, with the reason.
LEARNING_RATE = 1e-6
# So many steps of a training are compared with float64.
STEPS = 3


@dataclass
class Workload:
    model: str
    shape: tuple
    # Timed runs in a turn.
    runs: int
    # Upper limits for this project's time as a fraction of a peer's.
    goals: dict
    # An upper limit for this project's peak memory, in MB.
    memory_goal: float | None = None
    # The peers; the goals' where there is no more to compare with.
    peers: tuple = ("eager", "compile", "openvino")
    training: bool = False
    # Free memory that each peer asks for, in MB.
    peer_memory: float = 2500
    # The input consists of ids below this.
    vocab: int | None = None
    # Parts in which float64 decodes what a peer decodes at once.
    wide_parts: int = 1
    # So many tokens are generated after the input.
    tokens: int | None = None


IMAGE = (1, 224, 224, 3)


def published(model, shape, goals={}, peer_memory=2500, **options):
    return Workload(model, shape, 1, goals, None, ("eager",), False, peer_memory, **options)


CPU = {
    "readme-forward": Workload("ReadMe", IMAGE, 2, dict(eager=0.25, compile=0.40, openvino=0.50), 230),
    "paper-forward": Workload("Paper", IMAGE, 1, dict(eager=0.35)),
    "readme-training": Workload("ReadMe", IMAGE, 1, dict(eager=0.35), 800, ("eager",), True),
    "small-training": Workload("Small", (32, 28, 28, 1), 10, dict(eager=0.35), None, ("eager",), True),
    "small-forward": Workload("Small", (1, 28, 28, 1), 30, dict(eager=0.20)),
    "million-forward": Workload("ReadMe", (1, 1024, 1024, 3), 1, {}, 260, peer_memory=6000),
    "vision": published("VisionFourier", IMAGE, dict(eager=0.70)),
    "vision-learned": published("VisionLearned", IMAGE),
    "vision-conv": published("VisionConv", IMAGE),
    "language": published("Language", (1, 2048), dict(eager=0.62), vocab=262),
    "ar-prompt": Workload("Bytes", (1, 4096), 2, dict(eager=0.60), None, ("eager",), vocab=262),
    "ar-generate": Workload("Bytes", (1, 1024), 1, dict(eager=0.33), None, ("eager",), vocab=262, tokens=64),
    "flow": published("Flow", (1, 2, 368, 496, 27), dict(eager=0.20), 6000),
    # 16 frames with 1,920 samples each, and 700 classes.
    "video": published("Video", (1, 16 * (1920 + 224 * 224 * 3) + 700), {}, 18000, wide_parts=8),
}


def gpu(batch, runs, goals, training=False):
    peers = ("eager", "compile")
    return Workload("ReadMe", (batch, *IMAGE[1:]), runs, goals, None, peers, training)


CUDA = {
    "readme-forward": gpu(1, 20, {}),
    "readme-forward-8": gpu(8, 10, dict(eager=1.0)),
    "readme-forward-32": gpu(32, 5, {}),
    "readme-training": gpu(1, 10, {}, True),
    "readme-training-8": gpu(8, 5, dict(eager=1.0), True),
    "readme-training-32": gpu(32, 3, {}, True),
}
WORKLOADS = dict(cpu=CPU, cuda=CUDA)
