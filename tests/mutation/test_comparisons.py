"""Every fault of the comparison is noticed by the test that is named beside it."""

import pytest

from tests.mutation.comparisons import FAULTS, applied
from tests.unit.verify import test_answers


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.what)
def test_a_fault_is_noticed(fault):
    test = getattr(test_answers, fault.test)
    test()
    with applied(fault):
        # what the test says, or what it expects to be said and is not
        with pytest.raises((AssertionError, pytest.fail.Exception)):
            test()
    test()


def test_at_least_twenty_faults():
    assert len({fault.what for fault in FAULTS}) == len(FAULTS) >= 20
