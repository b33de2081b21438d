-- A few landed rows of the shop, in the shapes that ingest gives them: one query per table, each after a line `-- TABLE`.
-- Repeated on purpose: event e2, transaction t1, stock change c2. Order o2 has no payment.

-- bronze.user_events
select
    event_id,
    event_type,
    arrow_cast(happened, 'Timestamp(Microsecond, Some("UTC"))') as "timestamp",
    user_id,
    item_id,
    ' Books' as category,
    session_id,
    'mobile' as device_type,
    cast(null as varchar) as query,
    cast(5 as int) as rating,
    'user-events' as _src_topic,
    cast(0 as int) as _src_partition,
    place as _src_offset,
    arrow_cast('2026-01-05T00:00:00', 'Timestamp(Microsecond, Some("UTC"))') as _ingested_at
from (values
    ('e1', 'view', '2026-01-02T10:00:00', 'u1', 'i1', 's1', 1),
    ('e2', 'addtocart', '2026-01-02T10:01:00', 'u1', 'i1', 's1', 2),
    ('e2', 'addtocart', '2026-01-02T10:01:00', 'u1', 'i1', 's1', 3),
    ('e3', 'view', '2026-01-02T23:59:59', 'u2', 'i2', 's2', 4)
) as t(event_id, event_type, happened, user_id, item_id, session_id, place)

-- bronze.transactions
select
    'x' || place as event_id,
    'transaction' as event_type,
    arrow_cast('2026-01-02T10:02:00', 'Timestamp(Microsecond, Some("UTC"))') as "timestamp",
    'u1' as user_id,
    'i1' as item_id,
    'books' as category,
    's1' as session_id,
    'mobile' as device_type,
    cast(10.50 as decimal(12, 2)) as price,
    cast(2 as int) as quantity,
    transaction_id,
    'user-events' as _src_topic,
    cast(0 as int) as _src_partition,
    place as _src_offset,
    arrow_cast('2026-01-05T00:00:00', 'Timestamp(Microsecond, Some("UTC"))') as _ingested_at
from (values ('t1', 11), ('t1', 12), ('t2', 13)) as t(transaction_id, place)

-- bronze.orders
select
    'o' || place as event_id,
    'order' as event_type,
    arrow_cast('2026-01-02T10:02:01', 'Timestamp(Microsecond, Some("UTC"))') as "timestamp",
    order_id,
    transaction_id,
    'u1' as customer_id,
    'i1' as item_id,
    cast(2 as int) as quantity,
    cast(amount as decimal(12, 2)) as amount,
    'eur' as currency,
    'created' as status,
    'orders' as _src_topic,
    cast(0 as int) as _src_partition,
    place as _src_offset,
    arrow_cast('2026-01-05T00:00:00', 'Timestamp(Microsecond, Some("UTC"))') as _ingested_at
from (values ('o1', 't1', '21.00', 1), ('o2', 't2', '21.01', 2)) as t(order_id, transaction_id, amount, place)

-- bronze.payments
select
    'p1' as event_id,
    'payment' as event_type,
    arrow_cast('2026-01-02T10:03:00', 'Timestamp(Microsecond, Some("UTC"))') as "timestamp",
    cast(null as varchar) as payment_id,
    't1' as transaction_id,
    'u1' as customer_id,
    cast(21.00 as decimal(12, 2)) as amount,
    'EUR' as currency,
    'de' as payment_country,
    'card' as payment_method,
    'payments' as _src_topic,
    cast(0 as int) as _src_partition,
    1 as _src_offset,
    arrow_cast('2026-01-05T00:00:00', 'Timestamp(Microsecond, Some("UTC"))') as _ingested_at

-- bronze.inventory
select
    event_id,
    'stock_change' as event_type,
    arrow_cast('2026-01-02T10:00:00', 'Timestamp(Microsecond, Some("UTC"))') as "timestamp",
    'i1' as item_id,
    'North' as warehouse,
    cast(pieces as int) as quantity,
    'sale' as reason,
    'inventory' as _src_topic,
    cast(0 as int) as _src_partition,
    place as _src_offset,
    arrow_cast('2026-01-05T00:00:00', 'Timestamp(Microsecond, Some("UTC"))') as _ingested_at
from (values ('c1', 50, 1), ('c2', -2, 2), ('c2', -2, 3)) as t(event_id, pieces, place)

-- bronze.dead_letters
select
    'empty' as cause,
    'the message is empty' as error,
    arrow_cast('2026-01-02T10:00:00', 'Timestamp(Microsecond, Some("UTC"))') as kafka_timestamp,
    arrow_cast('k', 'Binary') as key,
    arrow_cast('', 'Binary') as payload,
    'payments' as _src_topic,
    cast(0 as int) as _src_partition,
    9 as _src_offset,
    arrow_cast('2026-01-05T00:00:00', 'Timestamp(Microsecond, Some("UTC"))') as _ingested_at
