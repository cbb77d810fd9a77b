"""Synthetic Observations, reduced to what an index sees of them.

Made inside PostgreSQL from a fixed seed: patients with skewed counts, codes by
Zipf's law, effective dates over five years, ten hashed terms each.
"""

from typing import Any

import psycopg

PATIENTS = 20_000
CODES = 300

# A patient's share grows with the square of a uniform draw: the busiest hundredth
# of the patients holds 10 % of the Observations. Rank r of the codes is
# drawn with weight 1/r.
STAGE = f"""
create unlogged table staged as
with draw as materialized (
  select n as key,
         1 + floor({PATIENTS} * power(random(), 2))::int as patient,
         random() as code_draw,
         timestamptz '2020-01-01' + random() * interval '1826 days' as start,
         random() as encounter_draw
  from generate_series(1, %(rows)s) n
), ranked as (
  select r, sum(1.0 / r) over (order by r) / sum(1.0 / r) over () as upto
  from generate_series(1, {CODES}) r
), thresholds as (
  select array_agg(upto::float8 order by r) as uptos from ranked
)
select key, patient, start,
       1 + width_bucket(code_draw, uptos) as code,
       array[
         hashint8extended(patient, 1), hashint8extended(patient, 2),
         hashint8extended(patient * 8 + floor(encounter_draw * 8)::int, 3),
         hashint8extended(1 + width_bucket(code_draw, uptos), 4),
         hashint8extended(1 + width_bucket(code_draw, uptos), 5),
         hashint8extended(6, 6),
         hashint8extended((width_bucket(code_draw, uptos)) %% 8, 7),
         hashint8extended((width_bucket(code_draw, uptos)) %% 8, 8),
         hashint8extended(case when encounter_draw < 0.97 then 1 else 2 end, 9),
         hashint8extended(case when encounter_draw < 0.97 then 1 else 2 end, 10)
       ] as terms
from draw, thresholds
"""


def stage(connection: psycopg.Connection[Any], rows: int) -> None:
    """Fill the unlogged table `staged(key, patient, start, code, terms)`."""
    connection.execute("drop table if exists staged")
    connection.execute("select setseed(0.42)")
    with psycopg.ClientCursor(connection) as cursor:
        cursor.execute(STAGE, {"rows": rows})
    connection.execute("alter table staged add primary key (key)")
    connection.execute("analyze staged")


def code_with_matches(connection: psycopg.Connection[Any], wanted: int) -> tuple[int, int]:
    """Return the code whose number of Observations is nearest to `wanted`, and that number."""
    row = connection.execute(
        "select code, count(*) from staged group by code order by abs(count(*) - %s), code limit 1",
        (wanted,),
    ).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])
