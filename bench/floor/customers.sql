-- What the other files have to know of the table they load; bench/tables.py says it of every table, here it is for customers.
\if :{?key}
\else
\set key customer_id
\set columns 'email, name, status, age, balance, is_vip, signup_date, updated_at, attrs'
\set set 'email = c.email, name = c.name, status = c.status, age = c.age, balance = c.balance, is_vip = c.is_vip, signup_date = c.signup_date, updated_at = c.updated_at, attrs = c.attrs'
\set compared 's.age IS DISTINCT FROM t.age OR s.attrs IS DISTINCT FROM t.attrs OR s.balance IS DISTINCT FROM t.balance OR s.email IS DISTINCT FROM t.email OR s.is_vip IS DISTINCT FROM t.is_vip OR s.name IS DISTINCT FROM t.name OR s.signup_date IS DISTINCT FROM t.signup_date OR s.status IS DISTINCT FROM t.status'
\set differs :compared ' OR s.updated_at IS DISTINCT FROM t.updated_at'
\set hash 'sha256(record_send(ROW(age::int8, attrs, trim_scale(balance), email, is_vip, name, signup_date, status)))'
\endif
