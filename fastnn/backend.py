"""What Keras's programs ask its backend for, of `fastnn.config` and `fastnn.utils`."""

from fastnn.config import epsilon, floatx, set_floatx
from fastnn.utils import clear_session

__all__ = ["clear_session", "epsilon", "floatx", "set_floatx"]
