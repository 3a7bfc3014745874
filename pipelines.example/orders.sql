SELECT order_id, number, amount, status, updated_at
FROM app.orders
