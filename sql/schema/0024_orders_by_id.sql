-- Customers ask for an order by our own id alone, which leads no other index before Postgres 18 can skip over `source`.

CREATE INDEX orders_by_id ON orders (id, source);
