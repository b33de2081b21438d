"""Writes a small generated set in the shape of the nine Olist files: olist_sample.py FOLDER.

The same names, columns, types and quirks (empty times, orders without items, products without a category, a
byte-order mark, quoted zip codes with leading zeros), a few hundred rows, always the same.
"""

import csv
import datetime
import pathlib
import random
import sys

ORDERS = 400
STATES = ["SP", "RJ", "MG", "BA", "RS"]
CATEGORIES = ["beleza_saude", "esporte_lazer", "pc_gamer", "cama_mesa_banho", ""]
STATUSES = ["delivered"] * 12 + ["shipped", "canceled", "invoiced", "unavailable"]
TIME = "%Y-%m-%d %H:%M:%S"

folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
draw = random.Random(20161004)


def identifier():
    return f"{draw.getrandbits(128):032x}"


def write(name, columns, rows, mark=""):
    with open(folder / f"{name}.csv", "w", newline="", encoding="utf-8") as file:
        file.write(mark)
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerow(columns.split())
        writer.writerows(rows)


def money(low, high):
    return f"{draw.randint(low * 100, high * 100) / 100:.2f}"


zips = [f"{draw.randint(1000, 99999):05d}" for _ in range(40)]
sellers = [identifier() for _ in range(12)]
products = [identifier() for _ in range(60)]
people = [identifier() for _ in range(ORDERS * 9 // 10)]
orders, customers, items, payments, reviews = [], [], [], [], []
for _ in range(ORDERS):
    order, customer, status = identifier(), identifier(), draw.choice(STATUSES)
    zip_code, state = draw.choice(zips), draw.choice(STATES)
    customers.append([customer, draw.choice(people), zip_code, f"cidade {state.lower()}", state])
    bought = datetime.datetime(2017, 1, 1) + datetime.timedelta(seconds=draw.randint(0, 600 * 86400))
    approved = bought + datetime.timedelta(minutes=draw.randint(5, 3000))
    carried = approved + datetime.timedelta(hours=draw.randint(5, 90))
    delivered = carried + datetime.timedelta(hours=draw.randint(20, 400))
    reached = status == "delivered" and draw.random() > 0.02
    orders.append([
        order, customer, status, bought.strftime(TIME), approved.strftime(TIME) if draw.random() > 0.02 else "",
        carried.strftime(TIME) if status in ("delivered", "shipped") else "",
        delivered.strftime(TIME) if reached else "",
        (bought + datetime.timedelta(days=20)).strftime("%Y-%m-%d 00:00:00"),
    ])
    if status != "unavailable":
        for number in range(1, draw.choice([1, 1, 1, 2, 3]) + 1):
            items.append([order, number, draw.choice(products), draw.choice(sellers),
                          (approved + datetime.timedelta(days=4)).strftime(TIME), money(5, 400), money(5, 40)])
    for number in range(1, draw.choice([1, 1, 1, 2]) + 1):
        payments.append([order, number, draw.choice(["credit_card", "boleto", "voucher", "debit_card"]),
                         draw.randint(1, 10), money(10, 500)])
    reviews.append([identifier(), order, draw.randint(1, 5), "", draw.choice(["", 'muito bom, "recomendo"', "linha\noutra"]),
                    delivered.strftime("%Y-%m-%d 00:00:00"), (delivered + datetime.timedelta(days=2)).strftime(TIME)])

write("olist_orders_dataset", "order_id customer_id order_status order_purchase_timestamp order_approved_at"
      " order_delivered_carrier_date order_delivered_customer_date order_estimated_delivery_date", orders)
write("olist_customers_dataset", "customer_id customer_unique_id customer_zip_code_prefix customer_city customer_state",
      customers)
write("olist_order_items_dataset", "order_id order_item_id product_id seller_id shipping_limit_date price freight_value",
      items)
write("olist_order_payments_dataset", "order_id payment_sequential payment_type payment_installments payment_value", payments)
write("olist_order_reviews_dataset", "review_id order_id review_score review_comment_title review_comment_message"
      " review_creation_date review_answer_timestamp", reviews)
write("olist_products_dataset", "product_id product_category_name product_name_lenght product_description_lenght"
      " product_photos_qty product_weight_g product_length_cm product_height_cm product_width_cm",
      [[product, category, *([draw.randint(20, 60), draw.randint(50, 900), draw.randint(1, 6)] if category else ["", "", ""]),
        draw.randint(100, 9000), draw.randint(10, 90), draw.randint(5, 60), draw.randint(10, 70)]
       for product, category in ((product, draw.choice(CATEGORIES)) for product in products)])
write("olist_sellers_dataset", "seller_id seller_zip_code_prefix seller_city seller_state",
      [[seller, draw.choice(zips), "cidade", draw.choice(STATES)] for seller in sellers])
write("olist_geolocation_dataset", "geolocation_zip_code_prefix geolocation_lat geolocation_lng geolocation_city"
      " geolocation_state", [[draw.choice(zips), f"{draw.uniform(-30, 2):.6f}", f"{draw.uniform(-70, -35):.6f}",
                              draw.choice(["são paulo", "sao paulo", "* cidade"]), draw.choice(STATES)] for _ in range(300)])
write("product_category_name_translation", "product_category_name product_category_name_english",
      [["beleza_saude", "health_beauty"], ["esporte_lazer", "sports_leisure"], ["cama_mesa_banho", "bed_bath_table"]],
      mark="\ufeff")
print(f"{len(list(folder.iterdir()))} files in {folder}")
