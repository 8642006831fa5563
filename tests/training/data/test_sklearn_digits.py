from collections import Counter

import numpy as np

from tests.training.data.files import load


def test_the_bundled_digits() -> None:
    data = load(loader="sklearn_digits")
    assert data.classes == tuple("0123456789")
    assert len(data.examples) == len({e.name for e in data.examples}) == 1797
    assert Counter(int(e.truth()) for e in data.examples) == Counter(int(e.stratum) for e in data.examples)
    assert min(Counter(e.stratum for e in data.examples).values()) == 174
    stack = np.stack([e.image() for e in data.examples])
    assert (stack.shape, stack.min(), stack.max()) == ((1797, 8, 8, 1), 0, 16)
    assert data.examples[0].truth() == 0
    assert (data.examples[0].image()[:, 3, 0] == [13, 15, 2, 0, 0, 0, 5, 13]).all()  # a zero's open middle
