"""The clients and a daemon that listens with TLS and asks for certificates."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import grpc
import sidewinder
from sidewinder import aio

from .daemon import Daemon

KEY = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"


def openssl(folder: Path, arguments: str) -> None:
    subprocess.run(["openssl", *arguments.split()], cwd=folder, check=True, capture_output=True)


def certificates(folder: Path) -> None:
    """An authority, with a certificate for a daemon and one for a client."""
    openssl(folder, f"req -x509 {KEY} -days 2 -subj /CN=authority -keyout ca.key -out ca.crt")
    for name, extension in (
        ("tls", "subjectAltName=IP:127.0.0.1"),
        ("client", "extendedKeyUsage=clientAuth"),
    ):
        openssl(folder, f"req {KEY} -subj /CN={name} -addext {extension} -keyout {name}.key -out {name}.csr")
        signed = f"x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -days 2 -copy_extensions copyall"
        openssl(folder, f"{signed} -out {name}.crt")
        (folder / f"{name}.key").chmod(0o600)


class Sealed(unittest.IsolatedAsyncioTestCase):
    daemon: Daemon
    folder: Path

    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = Path(tempfile.mkdtemp(prefix="sidewinder-sealed-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        certificates(cls.folder)
        settings = {
            "SIDEWINDER_LISTEN_TLS_CERTIFICATE": str(cls.folder / "tls.crt"),
            "SIDEWINDER_LISTEN_TLS_KEY": str(cls.folder / "tls.key"),
            "SIDEWINDER_LISTEN_TLS_CLIENT_CA": str(cls.folder / "ca.crt"),
        }
        with mock.patch.dict(os.environ, settings):
            cls.daemon = Daemon("--tcp", "127.0.0.1:0")
        cls.addClassCleanup(cls.daemon.close)
        line = next(line for line in cls.daemon.log if "listens on" in line)
        cls.address = line.partition(" and ")[2].split()[0]

    address: str

    def credentials(self, *, named: bool) -> grpc.ChannelCredentials:
        def read(name: str) -> bytes:
            return (self.folder / name).read_bytes()

        if not named:
            return grpc.ssl_channel_credentials(read("ca.crt"))
        return grpc.ssl_channel_credentials(read("ca.crt"), read("client.key"), read("client.crt"))

    def test_a_thread_calls(self) -> None:
        with sidewinder.Client(self.address, credentials=self.credentials(named=True)) as client:
            self.assertEqual(client.call("add", a=1), 3)
            self.assertEqual(list(client.stream("count", until=3)), [0, 1, 2])

    async def test_a_task_calls(self) -> None:
        async with aio.Client(self.address, credentials=self.credentials(named=True)) as client:
            self.assertEqual(await client.call("add", a=1), 3)

    def test_who_has_no_certificate_or_no_tls_is_turned_away(self) -> None:
        for credentials in (self.credentials(named=False), None):
            with (
                sidewinder.Client(self.address, credentials=credentials, retries=0) as client,
                self.assertRaises(sidewinder.Unavailable),
            ):
                client.call("add", a=1, timeout=20)


if __name__ == "__main__":
    unittest.main()
