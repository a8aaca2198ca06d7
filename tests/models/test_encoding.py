"""What a model sees: numbers as they are, text as categories, and the same in training and in serving."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from mercury.errors import SchemaError
from mercury.models.encoding import Encoding

TRAINING = pa.table(
    {"carrier": ["UA", "AA", None, "UA"], "distance": [1.0, None, 3.0, 4.0], "late": [True, False, None, True]}
)


def test_categories_are_places_in_sorted_order_and_nulls_are_nan() -> None:
    encoding = Encoding.of(TRAINING)

    matrix = encoding.matrix(TRAINING)

    np.testing.assert_array_equal(matrix, [[1.0, 1.0, 1.0], [0.0, np.nan, 0.0], [np.nan, 3.0, np.nan], [1.0, 4.0, 1.0]])
    assert encoding.categorical == [0]


def test_a_category_unseen_in_training_is_missing() -> None:
    encoding = Encoding.of(TRAINING)

    row = encoding.matrix(pa.table({"carrier": ["B6"], "distance": [2], "late": [False]}))

    np.testing.assert_array_equal(row, [[np.nan, 2.0, 0.0]])


def test_one_request_is_encoded_as_a_table_would_be() -> None:
    encoding = Encoding.of(TRAINING)

    np.testing.assert_array_equal(encoding.vector(TRAINING.to_pylist()), encoding.matrix(TRAINING))


def test_columns_may_come_in_any_order_and_with_others() -> None:
    encoding = Encoding.of(TRAINING)
    shuffled = TRAINING.select(["late", "distance", "carrier"]).append_column("more", pa.array([1, 2, 3, 4]))

    np.testing.assert_array_equal(encoding.matrix(shuffled), encoding.matrix(TRAINING))


def test_it_survives_being_stored_with_the_model() -> None:
    encoding = Encoding.of(TRAINING)

    assert Encoding.from_dict(encoding.to_dict()) == encoding


def test_a_time_is_not_a_feature() -> None:
    with pytest.raises(SchemaError, match="'when' has type timestamp"):
        Encoding.of(pa.table({"when": pa.array([0], pa.timestamp("us"))}))


def test_a_missing_feature_is_named_with_the_nearest_spelling() -> None:
    with pytest.raises(SchemaError, match=r"'carrier' is missing\. Did you mean 'carier'\?"):
        Encoding.of(TRAINING).matrix(pa.table({"carier": ["UA"], "distance": [1.0], "late": [True]}))
