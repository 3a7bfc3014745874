-- `check`, with the columns that are compared everywhere here: https://docs.getdbt.com/docs/build/snapshots
-- The index by which an update finds its version: https://docs.getdbt.com/reference/resource-configs/postgres-configs
{% snapshot history %}
{{ config(target_schema=env_var('BENCH_SCHEMA'), unique_key='customer_id', strategy='check',
          check_cols=['age', 'attrs', 'balance', 'email', 'is_vip', 'name', 'signup_date', 'status'],
          indexes=[{'columns': ['dbt_scd_id'], 'unique': True}]) }}
select * from {{ env_var('BENCH_SELECT') }} as s
{% endsnapshot %}
