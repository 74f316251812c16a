"""Clients that ask without pause and remember every failure."""

import json
import threading
import time


class Load:
    """`with Load(host, box) as load:` keeps asking until the block ends.

    Half of the clients keep their connection (as the edge does), half make a new one each time.
    """

    def __init__(self, host, box, clients=6, pause_s=0.002):
        self.host = host
        self.box = box
        self.pause_s = pause_s
        self.answers = 0
        self.pids = set()
        self.failures = []
        self._done = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(number % 2 == 0,)) for number in range(clients)
        ]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        time.sleep(0.2)
        return self

    def __exit__(self, *_error):
        time.sleep(0.2)
        self._done.set()
        for thread in self._threads:
            thread.join(30)

    def _ask(self, keeps):
        connection = None
        while not self._done.is_set():
            try:
                connection = connection or self.host.connection(self.box)
                connection.request("POST", "/", b"x" * 2000)
                response = connection.getresponse()
                answer = json.loads(response.read())
                if response.status != 200 or answer["body"] != 2000:
                    self.failures.append((response.status, answer))
                else:
                    self.pids.add(answer["pid"])
                    self.answers += 1
                if not keeps or response.will_close:
                    connection.close()
                    connection = None
            except Exception as error:  # noqa: BLE001 - whatever happens to a client counts
                self.failures.append(repr(error))
                connection = None
            time.sleep(self.pause_s)
        if connection:
            connection.close()
