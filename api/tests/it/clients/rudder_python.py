"""RudderStack's client for Python: arguments are host, write key, name, rounds."""

import sys

from rudderstack.analytics.client import Client

host, write_key, name, rounds = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
failures = []
for number in range(rounds):
    # Packed is what it does unless told otherwise; every second round is told.
    client = Client(
        write_key,
        host=host,
        gzip=number % 2 == 0,
        upload_interval=0.1,
        on_error=lambda error, _: failures.append(error),
    )
    user, device, mark = name + "-user", "%s-device-%d" % (name, number), {"round": number}
    client.page(anonymous_id=device, name="Home", properties=mark)
    client.identify(user, {"email": name + "@example.test", "plan": "pro", **mark})
    client.track(user, "Order Completed", {"revenue": 49.9, "currency": "EUR", **mark})
    client.page(user, "Shop", "Shoes", {"path": "/shoes", **mark})
    client.screen(user, "App", "Start", mark)
    client.group(user, name + "-group", {"size": 3, **mark})
    client.alias(device, user)
    client.flush()
    client.join()
if failures:
    sys.exit("the client gave up: %s" % failures)
