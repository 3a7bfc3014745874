-- `merge` and the index of the key that its join wants: https://docs.getdbt.com/reference/resource-configs/postgres-configs
{{ config(materialized='incremental', incremental_strategy='merge', unique_key='customer_id',
          indexes=[{'columns': ['customer_id'], 'unique': True}]) }}
select * from {{ env_var('BENCH_SELECT') }} as s
