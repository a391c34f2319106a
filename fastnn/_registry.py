"""Objects known by name: found by name, class, instance or config, and written down as a config."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from inspect import Signature

T = TypeVar("T")


class _Sealing(type):
    """Seals an object once its `__init__`, a subclass's own included, is through."""

    def __call__(cls: type[T], *args: Any, **kwargs: Any) -> T:
        item: T = type.__call__(cls, *args, **kwargs)
        vars(item)["_sealed"] = True
        return item

    @property
    def __signature__(cls: Any) -> "Signature":
        """What `inspect` shows and editors complete: the arguments of `__init__`."""
        signature: Signature = cls._signature()
        return signature


class Configurable(metaclass=_Sealing):
    """An object that its own `get_config()` describes and `from_config()` rebuilds.

    Its settings are those of its making: setting one later, or one that does not exist, would do
    nothing and is an AttributeError. What may change is a property.
    """

    @classmethod
    def _signature(cls) -> "Signature":
        from inspect import signature  # only who looks at one needs it

        own = signature(cls.__init__)
        return own.replace(parameters=list(own.parameters.values())[1:])

    def __setattr__(self, name: str, value: Any) -> None:
        if "_sealed" not in self.__dict__ or name.startswith("_"):
            super().__setattr__(name, value)
            return
        kept = getattr(type(self), name, None)
        if hasattr(kept, "__set__") and getattr(kept, "fset", True) is not None:
            super().__setattr__(name, value)
            return
        kind = type(self).__name__
        if kept is not None or name in vars(self):
            raise AttributeError(f"{name}: read-only once the {kind} is made")
        raise AttributeError(f"{name}: no attribute of {kind}, and setting it would do nothing")

    def get_config(self) -> dict[str, Any]:
        """The arguments that build an equal object, as plain numbers, strings, lists and dicts."""
        raise NotImplementedError

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        """An object built from what `get_config` returned."""
        if not isinstance(config, Mapping):
            raise TypeError(f"config: expected a dict, got {type(config).__name__}")
        return cls(**config)

    def __repr__(self) -> str:
        arguments = ", ".join(f"{key}={value!r}" for key, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


def refuse_methods(cls: type, names: tuple[str, ...], why: str) -> None:
    """Refuse a class with methods of its own that Keras would call and nothing here does."""
    for name in names:
        if name in vars(cls):
            raise TypeError(f"{cls.__name__}: expected no {name}() of its own; {why}")


def snake_case(name: str) -> str:
    """A name as Keras writes it: BatchNormalization is batch_normalization."""
    words = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", words).lower()


def serialize(item: Configurable) -> dict[str, Any]:
    """`item` as {"class_name": ..., "config": ...}."""
    return {"class_name": type(item).__name__, "config": item.get_config()}


def resolve(identifier: Any, kind: type[T], known: Mapping[str, type[T]], name: str) -> T:
    """The object that `identifier` (an instance, class, name or serialized dict) stands for.

    Raises
    ------
    ValueError
        If the name is unknown; the message lists what exists.
    TypeError
        If it is none of these.
    """
    if isinstance(identifier, kind):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, kind):
        return identifier()
    config: Mapping[str, Any] = {}
    if isinstance(identifier, Mapping) and set(identifier) == {"class_name", "config"}:
        identifier, config = identifier["class_name"], identifier["config"]
    if not isinstance(identifier, str):
        raise TypeError(
            f"{name}: expected a name or a fastnn {kind.__name__}, got {identifier!r} of type "
            f"{type(identifier).__name__}"
        )
    if identifier not in known:
        raise ValueError(f"{name}: expected one of {', '.join(sorted(known))}; got {identifier!r}")
    return known[identifier].from_config(config)  # type: ignore[attr-defined, no-any-return]
