-- https://sqlmesh.readthedocs.io/en/stable/concepts/models/model_kinds/#incremental_by_unique_key
MODEL (
  name peer_sqlmesh.merged,
  kind INCREMENTAL_BY_UNIQUE_KEY (
    unique_key customer_id
  ),
  cron '@daily'
);

SELECT
  s.customer_id::BIGINT, s.email::TEXT, s.name::TEXT, s.status::TEXT, s.age::INT, s.balance::DECIMAL(12, 2),
  s.is_vip::BOOLEAN, s.signup_date::DATE, s.updated_at::TIMESTAMPTZ, s.attrs::JSONB
FROM raw.customers AS s
