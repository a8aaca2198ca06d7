"""SQL expressions over the rows of a table: parsed once, checked against a schema, equal on every engine.

    late = Expression.parse("dep_delay > 15 AND origin <> 'JFK'")
    late.check(schema)                      # pa.bool_(), or ExpressionError with a caret under the mistake
    late.sql("duckdb", schema)              # text for DuckDB; "spark" for Spark SQL 3.5
    evaluate({"late": late}, table)         # in process

What an expression means does not depend on where it runs. Where engines differ, this is the rule:

* Every expression is total: no value makes it fail. What has no answer is NULL: division and remainder by zero,
  integer overflow (64 bits), a root or logarithm outside its domain, a cast that does not fit.
* ``/`` is always float; ``//`` truncates and takes integers; ``%`` has the sign of the dividend.
* NULL follows SQL's three-valued logic. `least` and `greatest` leave NULL out; `concat` and ``||`` do not.
* NaN equals NaN and is greater than every number, in comparisons, `least` and `greatest`. The sign of zero is not kept.
* Text is compared by code point; blanks count. `length` and `substr` count code points from 1; ``LIKE`` escapes only
  with an ``ESCAPE`` clause. `upper` and `lower` map one code point to one (ß to ẞ).
* Integers are int64 and floats float64, whatever their width in the table. Float to integer truncates; `round` takes
  halves away from zero.
* Times are instants in UTC; a time without a zone is UTC. ``dow`` counts from Sunday = 0, weeks are ISO weeks.
* `exp`, `ln`, `log10` and `power` agree to 1e-15 relative, everything else to the bit.
"""

from mercury.expressions.evaluation import evaluate
from mercury.expressions.expression import Dialect, Expression

__all__ = ["Dialect", "Expression", "evaluate"]
