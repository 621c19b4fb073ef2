"""Independent named streams of random numbers, all derived from the seed of one run.

Each part draws from a separate stream, so the draws of one part never change those of another.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np

Stream = Literal["split", "minibatch", "optimizer", "objective", "heads", "bootstrap", "placebo"]


def seed_sequence(seed: int, stream: Stream) -> np.random.SeedSequence:
    """The seed sequence of one named stream of one run."""
    import numpy as np

    name = int.from_bytes(hashlib.blake2b(stream.encode(), digest_size=8).digest(), "big")
    return np.random.SeedSequence(entropy=seed, spawn_key=(name,))


def generator(seed: int, stream: Stream) -> np.random.Generator:
    """The generator of one named stream of one run."""
    import numpy as np

    return np.random.default_rng(seed_sequence(seed, stream))


def dump_state(rng: np.random.Generator) -> str:
    """The state of a generator as JSON, for an optimizer's ``state_dict``."""
    return json.dumps(rng.bit_generator.state)


def load_state(rng: np.random.Generator, state: str) -> None:
    """Puts a state from :func:`dump_state` back into a generator of the same kind."""
    rng.bit_generator.state = json.loads(state)
