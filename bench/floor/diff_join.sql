-- Two tables of one database by key: rows of each, only in one, differing, and differing in each column.
SELECT (SELECT count(*) FROM raw.customers), (SELECT count(*) FROM raw.changed),
       count(*) FILTER (WHERE b.customer_id IS NULL), count(*) FILTER (WHERE a.customer_id IS NULL),
       count(*) FILTER (WHERE a.customer_id = b.customer_id),
       count(*) FILTER (WHERE a.email IS DISTINCT FROM b.email), count(*) FILTER (WHERE a.name IS DISTINCT FROM b.name),
       count(*) FILTER (WHERE a.status IS DISTINCT FROM b.status), count(*) FILTER (WHERE a.age IS DISTINCT FROM b.age),
       count(*) FILTER (WHERE a.balance IS DISTINCT FROM b.balance),
       count(*) FILTER (WHERE a.is_vip IS DISTINCT FROM b.is_vip),
       count(*) FILTER (WHERE a.signup_date IS DISTINCT FROM b.signup_date),
       count(*) FILTER (WHERE a.updated_at IS DISTINCT FROM b.updated_at),
       count(*) FILTER (WHERE a.attrs IS DISTINCT FROM b.attrs)
  FROM raw.customers AS a
  FULL JOIN raw.changed AS b ON a.customer_id = b.customer_id
 WHERE a.customer_id IS NULL OR b.customer_id IS NULL
    OR (a.email, a.name, a.status, a.age, a.balance, a.is_vip, a.signup_date, a.updated_at, a.attrs)
       IS DISTINCT FROM (b.email, b.name, b.status, b.age, b.balance, b.is_vip, b.signup_date, b.updated_at, b.attrs);
