-- Adds rows to raw.customers behind those that are there: :pct % of :n.
INSERT INTO raw.customers
SELECT c.customer_id + last.customer_id, c.email, c.name, c.status, c.age, c.balance, c.is_vip, c.signup_date, c.updated_at, c.attrs
  FROM raw.customers AS c, (SELECT max(customer_id) AS customer_id FROM raw.customers) AS last
 WHERE c.customer_id <= :n * :pct / 100.0;
ANALYZE raw.customers;
