-- https://sqlmesh.readthedocs.io/en/stable/concepts/models/model_kinds/#scd-type-2
MODEL (
  name peer_sqlmesh.history,
  kind SCD_TYPE_2_BY_COLUMN (
    unique_key customer_id,
    columns [age, attrs, balance, email, is_vip, name, signup_date, status]
  ),
  cron '@daily'
);

SELECT
  s.customer_id::BIGINT, s.email::TEXT, s.name::TEXT, s.status::TEXT, s.age::INT, s.balance::DECIMAL(12, 2),
  s.is_vip::BOOLEAN, s.signup_date::DATE, s.updated_at::TIMESTAMPTZ, s.attrs::JSONB
FROM raw.customers AS s
