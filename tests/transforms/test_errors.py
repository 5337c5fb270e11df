import pickle

from mammo.transforms import MammogramError, ReadFailure


def test_error_survives_pickling_between_processes() -> None:
    error = pickle.loads(pickle.dumps(MammogramError("a.dcm", ReadFailure.TRUNCATED, "ends early")))
    assert (error.path, error.reason, str(error)) == ("a.dcm", "truncated", "a.dcm: ends early [truncated]")


def test_error_is_a_value_error() -> None:
    assert issubclass(MammogramError, ValueError)
