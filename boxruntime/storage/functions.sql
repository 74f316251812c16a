-- Functions that every box database has. Some are part of the public API (users put them in
-- their own SQL and indexes), the others serve the SQL that boxruntime.storage.search writes.
-- All are IMMUTABLE and may stand in an index, so names are qualified: PostgreSQL builds indexes
-- with an empty search path. May be run again at any time.
--
-- Source: search specification, 1.2 Extraction helpers and 4.1 Precision table.

CREATE EXTENSION IF NOT EXISTS unaccent WITH SCHEMA public;
CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public;

-- Public: text -------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION public.immutable_unaccent(value text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
  RETURN public.unaccent('public.unaccent'::regdictionary, value);
END $$;

CREATE OR REPLACE FUNCTION public.immutable_array_to_string(value text[], separator text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
  RETURN array_to_string(value, separator);
END $$;

CREATE OR REPLACE FUNCTION public.immutable_wrap_ws(value text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT ' ' || value || ' ' $$;

-- One function body instead of the three calls: 2 us less per row.
CREATE OR REPLACE FUNCTION public.aidbox_text_search(value text[]) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
  RETURN ' ' || public.unaccent('public.unaccent'::regdictionary, array_to_string(value, ' ')) || ' ';
END $$;

-- Public: extraction -------------------------------------------------------------------------

-- One PathArray, steps of any kind. String = key (arrays on the way are flattened),
-- integer = array index, object = the array items that contain it.
CREATE OR REPLACE FUNCTION public.knife_walk(doc jsonb, path jsonb) RETURNS jsonb[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
  found jsonb[] := ARRAY[doc];
  step jsonb;
  position int;
BEGIN
  FOR step IN SELECT jsonb_array_elements(path) LOOP
    CASE jsonb_typeof(step)
      WHEN 'string' THEN
        found := ARRAY(SELECT v -> (step #>> '{}') FROM unnest(found) f, jsonb_path_query(f, '$[*]') v
                       WHERE v -> (step #>> '{}') IS NOT NULL);
      WHEN 'number' THEN
        -- an index beyond the integers finds nothing and fails nothing
        position := CASE WHEN abs(step::numeric) < 1e9 THEN step::numeric::int ELSE 2147483647 END;
        found := ARRAY(SELECT f -> position FROM unnest(found) f
                       WHERE jsonb_typeof(f) = 'array' AND f -> position IS NOT NULL);
      WHEN 'object' THEN
        found := ARRAY(SELECT v FROM unnest(found) f, jsonb_path_query(f, '$[*]') v WHERE v @> step);
      ELSE
        RETURN '{}';
    END CASE;
  END LOOP;
  RETURN ARRAY(SELECT v FROM unnest(found) f, jsonb_path_query(f, '$[*] ? (@ != null)') v);
END $$;

-- Paths of plain keys (nearly all) become jsonpath: 19 us for the five paths of a name,
-- against 52 us step by step.
CREATE OR REPLACE FUNCTION public.knife_extract(doc jsonb, paths jsonb) RETURNS jsonb[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
  IF paths::text ~ '^\[\["[-\w]+"(, "[-\w]+")*\](, \["[-\w]+"(, "[-\w]+")*\])*\]$' THEN
    RETURN ARRAY(
      SELECT v
      FROM jsonb_array_elements_text(paths) p,
           jsonb_path_query(doc, ('$.' || replace(trim(BOTH '[]' FROM p), '", "', '"."') || '[*] ? (@ != null)')::jsonpath) v);
  ELSIF jsonb_typeof(paths) <> 'array' THEN
    RETURN '{}';
  END IF;
  RETURN ARRAY(
    SELECT v FROM jsonb_array_elements(paths) p, unnest(public.knife_walk(doc, p)) v
    WHERE jsonb_typeof(p) = 'array');
END $$;

CREATE OR REPLACE FUNCTION public.knife_extract_text(doc jsonb, paths jsonb) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
  IF paths::text ~ '^\[\["[-\w]+"(, "[-\w]+")*\](, \["[-\w]+"(, "[-\w]+")*\])*\]$' THEN
    RETURN ARRAY(
      SELECT v #>> '{}'
      FROM jsonb_array_elements_text(paths) p,
           jsonb_path_query(doc, ('$.' || replace(trim(BOTH '[]' FROM p), '", "', '"."') || '[*] ? (@ != null)')::jsonpath) v
      WHERE jsonb_typeof(v) NOT IN ('object', 'array'));
  END IF;
  RETURN ARRAY(
    SELECT v #>> '{}' FROM unnest(public.knife_extract(doc, paths)) v
    WHERE jsonb_typeof(v) NOT IN ('object', 'array'));
END $$;

-- Strings ------------------------------------------------------------------------------------

-- The term of an ILIKE: accents removed, then % _ \ made literal (in this order: unaccent can
-- yield them from full-width forms).
CREATE OR REPLACE FUNCTION public.box_like(term text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
  RETURN replace(replace(replace(
    public.unaccent('public.unaccent'::regdictionary, term), '\', '\\'), '%', '\%'), '_', '\_');
END $$;

-- Dates --------------------------------------------------------------------------------------

-- Where a FHIR date, dateTime or instant begins. NULL for a text that is none: such a value may
-- come from raw SQL and must not break a search. A missing zone is UTC.
CREATE OR REPLACE FUNCTION public.box_instant_lo(value text) RETURNS timestamptz
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
  day int;
BEGIN
  -- nearly all: whole seconds with a zone, on a day that every month has
  IF value ~ '^(?!0000)\d{4}-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(Z|[+-](0\d|1[0-4]):[0-5]\d)$' THEN
    RETURN value::timestamptz;
  END IF;
  IF value !~ '^(?!0000)\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01])(T([01]\d|2[0-3])(:[0-5]\d(:([0-5]\d|60)(\.\d+)?)?)?(Z|[+-](0\d|1[0-4])(:?[0-5]\d)?)?)?)?)?$' THEN
    RETURN NULL;
  END IF;
  CASE length(value)
    WHEN 4 THEN RETURN (value || '-01-01T00:00Z')::timestamptz;
    WHEN 7 THEN RETURN (value || '-01T00:00Z')::timestamptz;
    ELSE
      day := substr(value, 9, 2)::int;
      IF day > 28 AND day > extract(day FROM make_date(substr(value, 1, 4)::int, substr(value, 6, 2)::int, 1) + interval '1 month - 1 day') THEN
        RETURN NULL;
      END IF;
      IF length(value) = 10 THEN RETURN (value || 'T00:00Z')::timestamptz; END IF;
      -- PostgreSQL wants minutes, and rounds where we cut at microseconds
      value := regexp_replace(value, 'T(\d\d)(?!\d|:)', 'T\1:00');
      value := regexp_replace(value, '(\.\d{6})\d+', '\1');
      IF value !~ 'T.*[-Z+]' THEN value := value || 'Z'; END IF;
      RETURN value::timestamptz;
  END CASE;
END $$;

-- Where it ends (exclusive): its begin plus one unit of the last written place.
CREATE OR REPLACE FUNCTION public.box_instant_hi(value text) RETURNS timestamptz
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
  lo timestamptz := public.box_instant_lo(value);
  places int;
BEGIN
  IF lo IS NULL THEN RETURN NULL; END IF;
  -- month arithmetic in UTC, not in the session's zone
  CASE length(value)
    WHEN 4 THEN RETURN (lo AT TIME ZONE 'UTC' + interval '1 year') AT TIME ZONE 'UTC';
    WHEN 7 THEN RETURN (lo AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC';
    WHEN 10 THEN RETURN lo + interval '24 hours';
    ELSE
      IF substr(value, 17, 1) = ':' AND strpos(value, '.') = 0 THEN RETURN lo + interval '1 second'; END IF;
      IF value ~ 'T\d\d(?!:)' THEN RETURN lo + interval '1 hour'; END IF;
      IF value !~ 'T\d\d:\d\d:' THEN RETURN lo + interval '1 minute'; END IF;
      places := coalesce(length(substring(value FROM '\.(\d+)')), 0);
      RETURN lo + interval '1 second' / (10 ^ least(places, 6));
  END CASE;
END $$;

-- The same for any date-like JSON value: text, Period, Timing (told apart by their members).
CREATE OR REPLACE FUNCTION public.box_date_lo(value jsonb) RETURNS timestamptz
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
  CASE jsonb_typeof(value)
    WHEN 'string' THEN
      RETURN public.box_instant_lo(value #>> '{}');
    WHEN 'object' THEN
      IF jsonb_exists_any(value, '{start,end}') THEN
        RETURN coalesce(public.box_instant_lo(value ->> 'start'), '-infinity');
      END IF;
      RETURN (
        SELECT min(public.box_date_lo(v)) FROM (
          SELECT jsonb_path_query(value, '$.event[*]') v
          UNION ALL SELECT jsonb_path_query(value, '$.repeat.bounds.Period')) t);
    ELSE RETURN NULL;
  END CASE;
END $$;

CREATE OR REPLACE FUNCTION public.box_date_hi(value jsonb) RETURNS timestamptz
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
  CASE jsonb_typeof(value)
    WHEN 'string' THEN
      RETURN public.box_instant_hi(value #>> '{}');
    WHEN 'object' THEN
      IF jsonb_exists_any(value, '{start,end}') THEN
        RETURN coalesce(public.box_instant_hi(value ->> 'end'), 'infinity');
      END IF;
      RETURN (
        SELECT max(public.box_date_hi(v)) FROM (
          SELECT jsonb_path_query(value, '$.event[*]') v
          UNION ALL SELECT jsonb_path_query(value, '$.repeat.bounds.Period')) t);
    ELSE RETURN NULL;
  END CASE;
END $$;

-- Both ends as one range, for GiST. NULL where the end lies before the begin.
CREATE OR REPLACE FUNCTION public.box_date_range(value jsonb) RETURNS tstzrange
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
  lo timestamptz := public.box_date_lo(value);
  hi timestamptz := public.box_date_hi(value);
BEGIN
  RETURN CASE WHEN lo <= hi THEN tstzrange(lo, hi) END;
END $$;

-- Numbers ------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION public.box_number(value jsonb) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN jsonb_typeof(value) = 'number' THEN value::numeric END
$$;

-- The numbers a value stands for: a number or Quantity is one point, its comparator opens it,
-- a Range is what lies between low and high, SampledData what lies between its extremes.
CREATE OR REPLACE FUNCTION public.box_number_range(value jsonb) RETURNS numrange
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
  point numeric;
  low numeric;
  high numeric;
BEGIN
  IF jsonb_typeof(value) = 'number' THEN
    point := value::numeric;
    RETURN numrange(point, point, '[]');
  ELSIF jsonb_typeof(value) <> 'object' THEN
    RETURN NULL;
  END IF;
  point := public.box_number(value -> 'value');
  IF point IS NOT NULL THEN
    CASE value ->> 'comparator'
      WHEN '<' THEN RETURN numrange(NULL, point, '()');
      WHEN '<=' THEN RETURN numrange(NULL, point, '(]');
      WHEN '>' THEN RETURN numrange(point, NULL, '()');
      WHEN '>=' THEN RETURN numrange(point, NULL, '[)');
      ELSE RETURN numrange(point, point, '[]');
    END CASE;
  END IF;
  IF jsonb_exists_any(value, '{low,high}') THEN
    low := public.box_number(value #> '{low,value}');
    high := public.box_number(value #> '{high,value}');
    IF low > high THEN RETURN NULL; END IF;
    RETURN numrange(low, high, '[]');
  END IF;
  IF jsonb_typeof(value -> 'data') = 'string' THEN
    -- SampledData: points by blanks; E, L and U are no numbers
    SELECT min(p::numeric), max(p::numeric) INTO low, high
    FROM regexp_split_to_table(value ->> 'data', '\s+') p WHERE p ~ '^[-+]?\d+(\.\d+)?([eE][-+]?\d{1,3})?$';
    IF low IS NULL THEN RETURN NULL; END IF;
    point := coalesce(public.box_number(value #> '{origin,value}'), 0);
    RETURN numrange(
      low * coalesce(public.box_number(value -> 'factor'), 1) + point,
      high * coalesce(public.box_number(value -> 'factor'), 1) + point, '[]');
  END IF;
  RETURN NULL;
END $$;

-- Tokens -------------------------------------------------------------------------------------

-- The system and code pairs of a value whose datatype is not known, by its JSON shape.
CREATE OR REPLACE FUNCTION public.box_tokens(value jsonb, OUT system text, OUT code text) RETURNS SETOF record
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT v ->> 'system', coalesce(v ->> 'code', v ->> 'value')
  FROM jsonb_path_query(value, '$.coding[*]') v
  UNION ALL
  SELECT value ->> 'system', coalesce(value ->> 'code', value ->> 'value')
  WHERE jsonb_typeof(value) = 'object' AND NOT jsonb_exists(value, 'coding')
  UNION ALL
  SELECT NULL, value #>> '{}' WHERE jsonb_typeof(value) NOT IN ('object', 'array', 'null')
$$;
