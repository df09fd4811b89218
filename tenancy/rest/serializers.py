"""Serializers that say no to what they do not know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from rest_framework import serializers
from rest_framework.validators import UniqueValidator

# DRF reads 5 as "5", "7" as 7 and "yes" as true; the schema promises otherwise. A decimal may be either.
_JSON_TYPES: tuple[tuple[type[serializers.Field[Any, Any, Any, Any]], tuple[type, ...]], ...] = (
    (serializers.BooleanField, (bool,)),
    (serializers.IntegerField, (int, float)),
    (serializers.CharField, (str,)),
)


class StrictMixin:
    """An unknown name in the body is an error: a misspelt field must not be lost in silence. So is a
    value of another JSON type than the field's.

    Read-only fields are known, and ignored, so that what was read can be sent back whole.
    """

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            unknown = [name for name in data if name not in self.fields]  # type: ignore[attr-defined]
            if unknown:
                raise serializers.ValidationError({name: ["Unknown field."] for name in sorted(unknown)})
            wrong = [name for name, value in data.items() if self._is_of_wrong_type(name, value)]
            if wrong:
                fields: Mapping[str, Any] = self.fields  # type: ignore[attr-defined]
                raise serializers.ValidationError(
                    {name: [fields[name].error_messages["invalid"]] for name in wrong}
                )
        return super().to_internal_value(data)  # type: ignore[misc]

    def _is_of_wrong_type(self, name: str, value: Any) -> bool:
        field = self.fields[name]  # type: ignore[attr-defined]
        if field.read_only or value is None:  # null has a message of its own
            return False
        return any(isinstance(field, kind) and not isinstance(value, types) for kind, types in _JSON_TYPES)


class StrictSerializer(StrictMixin, serializers.Serializer[Any]):
    """A plain serializer that refuses unknown fields."""


class KeyField(serializers.PrimaryKeyRelatedField[Any]):
    """The key of another object. DRF takes an empty text for null, and what was to be set is taken away."""

    def run_validation(self, data: Any = serializers.empty) -> Any:
        if data == "":
            self.fail("incorrect_type", data_type="str")
        return super().run_validation(data)


class ChoiceField(serializers.ChoiceField):
    """One of some words, which it names when it is given another."""

    default_error_messages = {"invalid_choice": '"{input}" is none of these: {choices}.'}

    def fail(self, key: str, **kwargs: Any) -> NoReturn:
        super().fail(key, choices=", ".join(str(word) for word in self.choices), **kwargs)


class StrictModelSerializer(StrictMixin, serializers.ModelSerializer[Any]):
    """A model serializer that refuses unknown fields and leaves uniqueness to the database.

    A query before the write cannot decide a race; the constraint does, and answers 409.
    """

    serializer_related_field = KeyField
    serializer_choice_field = ChoiceField

    def get_validators(self) -> list[Any]:
        return []

    def build_standard_field(self, field_name: str, model_field: Any) -> Any:
        field_class, kwargs = super().build_standard_field(field_name, model_field)
        kwargs["validators"] = [
            validator
            for validator in kwargs.get("validators", [])
            if not isinstance(validator, UniqueValidator)
        ]
        if not kwargs["validators"]:
            del kwargs["validators"]
        return field_class, kwargs
