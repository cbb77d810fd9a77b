"""The index layouts that are compared, as SQL.

Placeholders of pgbench: `:patient` (1..20,000), `:code` (1..300). `hash(n, kind)`
below is the seeded hash that observations.py uses for its terms.
"""

from dataclasses import dataclass, field

DATE = 77  # the parameter id of `date`
CLIENT_TERMS = """array[
 hashint8extended(:patient, 1), hashint8extended(:patient, 2),
 hashint8extended(:patient * 8 + :encounter, 3), hashint8extended(:code, 4),
 hashint8extended(:code, 5), hashint8extended(6, 6), hashint8extended(:code % 8, 7),
 hashint8extended(:code % 8, 8), hashint8extended(1, 9), hashint8extended(1, 10)]"""
CLIENT_START = "timestamptz '2020-01-01' + :day * interval '1 day'"
PATIENT = "hashint8extended(:patient, 1)"
CODE = "hashint8extended(:code, 4)"

DATES = """
create table idx_date (param int not null, key bigint not null, start timestamptz not null,
  "end" timestamptz not null);
create index idx_date_key on idx_date (key, param);
create index idx_date_start on idx_date (param, start, key);
"""


@dataclass(frozen=True, slots=True)
class Layout:
    """One way to lay out the index rows of a resource.

    `batch` copies the staged rows with `%(low)s < key <= %(high)s`; `single`
    inserts one resource drawn by pgbench; `searches` is SQL by scenario.
    """

    name: str
    ddl: str
    tables: tuple[str, ...]
    batch: tuple[str, ...]
    single: tuple[str, ...]
    searches: dict[str, str] = field(default_factory=dict)


BATCH_DATES = (
    f"insert into idx_date select {DATE}, key, start, start from staged"
    " where key > %(low)s and key <= %(high)s"
)
SINGLE_DATES = (
    f"insert into idx_date values ({DATE}, currval('fresh'), {CLIENT_START}, {CLIENT_START})"
)
TERMS_SEARCHES = {
    "patient+code by date": f"""
      select t.key from terms t
      left join lateral (select max(start) as start from idx_date d
        where d.key = t.key and d.param = {DATE}) d on true
      where t.type_id = 1 and t.terms @> array[{PATIENT}, {CODE}]
      order by d.start desc nulls last, t.key desc limit 50""",
    "code newest first": f"""
      select key from terms where type_id = 1 and terms @> array[{CODE}]
      order by key desc limit 50""",
    "count of a code": f"""
      select count(*) from terms where type_id = 1 and terms @> array[{CODE}]""",
}


def terms(name: str, gin: str, *, more_ddl: str = "") -> Layout:
    """Return the layout of fhir_server/tables.py with the given options of its GIN index."""
    return Layout(
        name,
        DATES
        + f"""
        create table terms (key bigint primary key, type_id smallint not null,
          version int not null, last_updated timestamptz not null, terms bigint[] not null);
        alter table terms alter column terms set statistics 1000;
        create index terms_terms on terms using gin (terms) with ({gin});
        create index terms_updated on terms (type_id, last_updated, key);
        create index terms_key on terms (type_id, key);
        {more_ddl}""",
        ("terms", "idx_date"),
        (
            (
                "insert into terms select key, 1, 1, now(), terms from staged"
                " where key > %(low)s and key <= %(high)s"
            ),
            BATCH_DATES,
        ),
        (
            f"insert into terms values (nextval('fresh'), 1, 1, now(), {CLIENT_TERMS})",
            SINGLE_DATES,
        ),
        TERMS_SEARCHES,
    )


def eav() -> Layout:
    """Return one row per term under a B-tree of (term, key)."""
    return Layout(
        "EAV (term, key)",
        DATES
        + """
        create table eav (term bigint not null, key bigint not null, primary key (term, key));
        create index eav_key on eav (key);""",
        ("eav", "idx_date"),
        (
            (
                "insert into eav select unnest(terms), key from staged"
                " where key > %(low)s and key <= %(high)s"
            ),
            BATCH_DATES,
        ),
        (
            (
                "with fresh as materialized (select nextval('fresh') as key)"
                f" insert into eav select unnest({CLIENT_TERMS}), key from fresh"
            ),
            SINGLE_DATES,
        ),
        {
            "patient+code by date": f"""
              select a.key from eav a join eav b on b.key = a.key and b.term = {CODE}
              left join lateral (select max(start) as start from idx_date d
                where d.key = a.key and d.param = {DATE}) d on true
              where a.term = {PATIENT} order by d.start desc nulls last, a.key desc limit 50""",
            "code newest first": f"""
              select key from eav where term = {CODE} order by key desc limit 50""",
            "count of a code": f"select count(*) from eav where term = {CODE}",
        },
    )


def eav_by_date() -> Layout:
    """Return one row per term under a covering B-tree of (term, clinical date, key)."""
    return Layout(
        "EAV (term, date, key)",
        DATES
        + """
        create table eav (term bigint not null, at timestamptz not null, key bigint not null,
          primary key (term, at, key));
        create index eav_key on eav (key);""",
        ("eav", "idx_date"),
        (
            (
                "insert into eav select unnest(terms), start, key from staged"
                " where key > %(low)s and key <= %(high)s"
            ),
            BATCH_DATES,
        ),
        (
            (
                "with fresh as materialized (select nextval('fresh') as key)"
                f" insert into eav select unnest({CLIENT_TERMS}), {CLIENT_START}, key from fresh"
            ),
            SINGLE_DATES,
        ),
        {
            "patient+code by date": f"""
              select a.key from eav a where a.term = {PATIENT} and exists (
                select from eav b where b.term = {CODE} and b.at = a.at and b.key = a.key)
              order by a.at desc, a.key desc limit 50""",
            "code newest first": f"""
              select key from eav where term = {CODE} order by at desc, key desc limit 50""",
            "count of a code": f"select count(*) from eav where term = {CODE}",
        },
    )


def subject() -> Layout:
    """Return the terms row with the subject's term in a column and B-tree of its own."""
    plain = terms(
        "terms, GIN + subject B-tree",
        "fastupdate = on, gin_pending_list_limit = 1024",
        more_ddl="""
        alter table terms add column subject bigint;
        create index terms_subject on terms (subject, type_id, key);""",
    )
    return Layout(
        plain.name,
        plain.ddl,
        plain.tables,
        (
            (
                "insert into terms select key, 1, 1, now(), terms, terms[1] from staged"
                " where key > %(low)s and key <= %(high)s"
            ),
            BATCH_DATES,
        ),
        (
            f"insert into terms values (nextval('fresh'), 1, 1, now(), {CLIENT_TERMS}, {PATIENT})",
            SINGLE_DATES,
        ),
        TERMS_SEARCHES
        | {
            "patient+code by date": f"""
              select t.key from terms t
              left join lateral (select max(start) as start from idx_date d
                where d.key = t.key and d.param = {DATE}) d on true
              where t.type_id = 1 and t.subject = {PATIENT} and t.terms @> array[{CODE}]
              order by d.start desc nulls last, t.key desc limit 50"""
        },
    )


def layouts() -> tuple[Layout, ...]:
    """Return every layout, the chosen one first."""
    return (
        terms("terms, GIN pending 1 MB", "fastupdate = on, gin_pending_list_limit = 1024"),
        terms("terms, GIN pending 4 MB", "fastupdate = on, gin_pending_list_limit = 4096"),
        terms("terms, GIN no pending list", "fastupdate = off"),
        subject(),
        eav(),
        eav_by_date(),
    )
