-- The shop as the demo finds it: an application's own tables, nothing in them made for a warehouse.
CREATE SCHEMA shop;

-- updated_at has no default: the application stamps it, so rows can arrive late (see README.md).
CREATE TABLE shop.customers (
  customer_id bigint PRIMARY KEY,
  email text,
  name text NOT NULL,
  city text NOT NULL,
  country text NOT NULL,
  tier text NOT NULL CHECK (tier IN ('bronze', 'silver', 'gold')),
  updated_at timestamptz NOT NULL
);

CREATE TABLE shop.orders (
  order_id bigint PRIMARY KEY,
  customer_id bigint NOT NULL REFERENCES shop.customers,
  status text NOT NULL,
  amount numeric(12,2) NOT NULL,
  ordered_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL
);
