"""Produces events with the serialisers of confluent-kafka, their schemas in a schema registry, and judges what landed.

    registered.py produce BROKERS REGISTRY TOPIC FORMAT PART    FORMAT: avro or protobuf; PART: first or second
    registered.py judge LAKE TABLE PART                         PyIceberg reads the table

The second part has a new field, a new nested field and, in Avro, a wider type: the registry takes none in Protobuf.
"""

import datetime
import decimal
import json
import pathlib
import sys

ROWS = 300
UTC = datetime.timezone.utc
START = datetime.datetime(2026, 1, 1, tzinfo=UTC)


def events(part):
    """The events of a part, as Python values."""
    second = part == "second"
    for number in range(ROWS):
        number += ROWS * second
        home = {"street": f"street {number}", "zip": number}
        event = {
            "id": f"e{number}",
            "number": number + (1 << 40) * second,
            "price": decimal.Decimal(number) / 4,
            "at": START + datetime.timedelta(seconds=number),
            "tags": [f"t{tag}" for tag in range(number % 3)],
            "counts": {"a": number},
            "home": home,
            "note": None if number % 2 else f"n{number}",
            "kind": ("NEW", "OLD")[number % 2],
        }
        if second:
            home["country"] = "xy"
            event["extra"] = number * 0.5
        yield event


def avro_schema(second):
    """The Avro schema of a part."""
    home = [{"name": "street", "type": "string"}, {"name": "zip", "type": "int"}]
    fields = [
        {"name": "id", "type": "string", "doc": "a \"quoted\" doc"},
        {"name": "number", "type": "long" if second else "int"},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {"name": "counts", "type": {"type": "map", "values": "long"}},
        {"name": "home", "type": {"type": "record", "name": "Home", "fields": home}},
        {"name": "note", "type": ["null", "string"], "default": None},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["NEW", "OLD"]}},
    ]
    if second:
        home.append({"name": "country", "type": ["null", "string"], "default": None})
        fields.append({"name": "extra", "type": ["null", "double"], "default": None})
    return json.dumps({"type": "record", "name": "Event", "namespace": "shop", "fields": fields})


def protobuf_class(second):
    """The message class of a part, made without a compiler."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2

    pool = descriptor_pool.DescriptorPool()
    stamp = descriptor_pb2.FileDescriptorProto()
    timestamp_pb2.DESCRIPTOR.CopyToProto(stamp)
    pool.Add(stamp)
    file = descriptor_pb2.FileDescriptorProto(
        name="event.proto", package="shop", syntax="proto3", dependency=["google/protobuf/timestamp.proto"])
    kind = file.enum_type.add(name="Kind")
    kind.value.add(name="NEW", number=0)
    kind.value.add(name="OLD", number=1)
    event = file.message_type.add(name="Event")
    home = event.nested_type.add(name="Home")
    entry = event.nested_type.add(name="CountsEntry")
    entry.options.map_entry = True
    of = descriptor_pb2.FieldDescriptorProto

    def field(message, name, number, kind, label=of.LABEL_OPTIONAL, type_name=None, optional=False):
        made = message.field.add(name=name, number=number, type=kind, label=label, json_name=name)
        if type_name:
            made.type_name = type_name
        if optional:
            made.proto3_optional = True
            made.oneof_index = len(message.oneof_decl)
            message.oneof_decl.add(name=f"_{name}")

    field(home, "street", 1, of.TYPE_STRING)
    field(home, "zip", 2, of.TYPE_INT32)
    field(entry, "key", 1, of.TYPE_STRING)
    field(entry, "value", 2, of.TYPE_INT64)
    field(event, "id", 1, of.TYPE_STRING)
    field(event, "number", 2, of.TYPE_INT64)
    field(event, "price", 3, of.TYPE_DOUBLE)
    field(event, "at", 4, of.TYPE_MESSAGE, type_name=".google.protobuf.Timestamp")
    field(event, "tags", 5, of.TYPE_STRING, of.LABEL_REPEATED)
    field(event, "counts", 6, of.TYPE_MESSAGE, of.LABEL_REPEATED, ".shop.Event.CountsEntry")
    field(event, "home", 7, of.TYPE_MESSAGE, type_name=".shop.Event.Home")
    field(event, "note", 8, of.TYPE_STRING, optional=True)
    field(event, "kind", 9, of.TYPE_ENUM, type_name=".shop.Kind")
    if second:
        field(home, "country", 3, of.TYPE_STRING)
        field(event, "extra", 10, of.TYPE_DOUBLE, optional=True)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("shop.Event"))


def produce(brokers, registry, topic, form, part):
    """Sends a part with the foreign serialiser of the format."""
    from confluent_kafka import Producer
    from confluent_kafka.schema_registry import SchemaRegistryClient
    from confluent_kafka.schema_registry.avro import AvroSerializer
    from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
    from confluent_kafka.serialization import MessageField, SerializationContext

    client = SchemaRegistryClient({"url": registry})
    second = part == "second"
    if form == "avro":
        serialise = AvroSerializer(client, avro_schema(second))
        values = events(part)
    else:
        made = protobuf_class(second)
        serialise = ProtobufSerializer(made, client, {"use.deprecated.format": False})

        def message(event):
            event = dict(event, price=float(event["price"]))
            at, note = event.pop("at"), event.pop("note")
            value = made(**event)
            value.at.FromDatetime(at)
            if note is not None:
                value.note = note
            return value

        values = map(message, events(part))
    producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True})
    context = SerializationContext(topic, MessageField.VALUE)
    for value in values:
        producer.produce(topic, value=serialise(value, context), partition=0)
    producer.flush(30)
    if len(producer):
        raise SystemExit("produce: the broker did not take all records")


def plain(value):
    """A value in the one form in which both sides are compared."""
    if isinstance(value, list) and value and isinstance(value[0], tuple):
        return dict(value)
    return value


def judge(lake, table, part):
    """Every event is there once, with every value; columns of the second part are null in the rows of the first."""
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    from lake import open_catalog

    rows = open_catalog(lake).load_table(table).scan().to_arrow().to_pylist()
    parts = ["first"] if part == "first" else ["first", "second"]
    wanted = {event["id"]: event for name in parts for event in events(name)}
    if sorted(row["id"] for row in rows) != sorted(wanted):
        raise SystemExit(f"{table}: {len(rows)} rows, {len(wanted)} events were sent")
    for row in rows:
        event = wanted[row["id"]]
        if part == "second":
            event = {"extra": None, **event, "home": {"country": None, **event["home"]}}
        for name, value in event.items():
            found = plain(row[name])
            if isinstance(found, dict) and name == "home" and found.get("country") == "":
                found = {**found, "country": None}
            same = float(found) == float(value) if name == "price" else found == value
            if not same:
                raise SystemExit(f"{table}: {row['id']}: {name} is {found!r}, sent was {value!r}")
    print(f"{len(rows)} rows of {table} are as they were sent")


if __name__ == "__main__":
    {"produce": produce, "judge": judge}[sys.argv[1]](*sys.argv[2:])
