-- https://docs.getdbt.com/docs/build/materializations
{{ config(materialized='table', indexes=[{'columns': ['customer_id'], 'unique': True}]) }}
select * from {{ env_var('BENCH_SELECT') }} as s
