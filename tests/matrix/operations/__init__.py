"""The operations held to the shared matrix. A later operation joins with one more entry of OPERATIONS, a backend with one
more name in its `implementations`."""

from tests.matrix.cases import Arrays
from tests.matrix.operations.coupled import COUPLED_SCAN
from tests.matrix.operations.delta import DELTA_SCAN
from tests.matrix.operations.gated import GATED_SCAN
from tests.matrix.operations.goom import GOOM_MATRIX_SCAN, GOOM_SCAN
from tests.matrix.operations.linear import LINEAR_SCAN
from tests.matrix.operations.matrix import MATRIX_SCAN
from tests.matrix.operations.operation import Operation, each, summed_to

OPERATIONS = (LINEAR_SCAN, GATED_SCAN, MATRIX_SCAN, COUPLED_SCAN, DELTA_SCAN, GOOM_SCAN, GOOM_MATRIX_SCAN)

__all__ = [
    "COUPLED_SCAN",
    "DELTA_SCAN",
    "GATED_SCAN",
    "GOOM_MATRIX_SCAN",
    "GOOM_SCAN",
    "LINEAR_SCAN",
    "MATRIX_SCAN",
    "OPERATIONS",
    "Arrays",
    "Operation",
    "each",
    "summed_to",
]
