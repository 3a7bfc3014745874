-- https://docs.getdbt.com/docs/build/incremental-strategy
{{ config(materialized='incremental', incremental_strategy='append') }}
select s.*, now() as loaded_at, '{{ invocation_id }}'::uuid as batch_id from {{ env_var('BENCH_SELECT') }} as s
