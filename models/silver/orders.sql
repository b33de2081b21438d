-- An order with what was bought and how it was paid. Messages of the three topics arrive in any order: an order without
-- a payment (yet) stays, with nulls.
with orders as (
    select *
    from {{ source('bronze', 'orders') }}
    {{ first_by('order_id') }}
),

payments as (
    -- The first payment of a transaction; later ones are retries.
    select *
    from {{ ref('payments') }}
    where transaction_id is not null
    qualify row_number() over (partition by transaction_id order by paid_at, payment_id) = 1
)

select
    orders.order_id,
    orders."timestamp" as ordered_at,
    orders.customer_id,
    orders.item_id,
    transactions.category,
    orders.quantity,
    orders.amount,
    upper(orders.currency) as currency,
    orders.status,
    orders.transaction_id,
    transactions.session_id,
    payments.payment_id,
    payments.paid_at,
    payments.payment_method,
    payments.payment_country,
    payments.payment_id is not null as is_paid
from orders
left join {{ ref('transactions') }} as transactions
    on transactions.transaction_id = orders.transaction_id
left join payments
    on payments.transaction_id = orders.transaction_id
