-- import.sql: products from files (arnova import).

-- name: import_product :row
SELECT import_product(:body::jsonb, :shop_currency) AS outcome;
