# SPDX-License-Identifier: Apache-2.0
"""The library built by those who want less of it, as the README tells them to. What isn't wanted isn't needed either: a
pkg-config stands in the way that doesn't find it."""

import os
import pathlib
import re
import shutil
import sys
import unittest

from outsider import ROOT, run

sys.path.insert(0, str(ROOT / "tests" / "e2e"))
from shop import free_base  # noqa: E402


def configure(folder, without, *options):
    """A build folder, made on a machine that lacks these packages."""
    folder = pathlib.Path(folder).resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    lacking = folder / "pkg-config"
    names = "|".join(f"{name}*" for name in without)
    lacking.write_text(f'#!/bin/sh\nfor each; do case $each in {names}) exit 1 ;; esac; done\nexec pkg-config "$@"\n', encoding="utf-8")
    lacking.chmod(0o755)
    run(os.environ["CMAKE"], "-S", ROOT, "-B", folder, f"-DPKG_CONFIG_EXECUTABLE={lacking}", *options)
    return folder


class Alone(unittest.TestCase):
    def test_the_library_alone_needs_no_more_than_the_readme_says(self):
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        commands, installed, options = re.search(
            r"^(apt-get install (.*)\ncmake -B build/library (\S+) && .*)$", readme, re.MULTILINE).groups()
        self.assertIn(commands, (ROOT / "docs" / "guide" / "first-order.md").read_text(encoding="utf-8"))
        setup = (ROOT / "tests" / "support" / "setup.sh").read_text(encoding="utf-8")
        self.assertLessEqual(set(installed.split()), set(re.split(r"[\n|]", setup)))
        configure("library", {"libmicrohttpd", "cmocka"}, options)

    def test_without_libcurl_all_but_its_channels_are_there(self):
        folder = configure("without curl", {"libcurl", "cmocka"}, "-DCAFE_WITH_CHANNELS=OFF", "-DCMAKE_BUILD_TYPE=Debug")
        run(os.environ["CMAKE"], "--build", folder, "-j2", "--target", "cafe-shop")
        shop = [folder / "bin" / "cafe-shop", "--listen", f"127.0.0.1:{free_base()}", "--store", "memory:"]
        for channel in ("https://receiver.example/", "kakao:"):
            self.assertIn("CAFE_WITH_CHANNELS", run(*shop, "--channel", channel, code=2))

    def test_without_openssl_there_is_tcp_without_tls(self):
        folder = configure("without openssl", {"openssl", "libssl", "libmicrohttpd", "cmocka"}, "-DCAFE_WITH_TLS=OFF",
                           "-DCAFE_BUILD_EXAMPLES=OFF", "-DCMAKE_BUILD_TYPE=Debug")
        run(os.environ["CMAKE"], "--build", folder, "-j2", "--target", "cafe_tcp_shared")
        self.assertNotIn("openssl", (folder / "lib" / "cafe-tcp.pc").read_text(encoding="utf-8"))
        program = folder / "tls.c"
        program.write_text("""#include <cafe/transport/tcp.h>
            int main(void) {
              cafe_tcp_tls tls = {"ca.pem", "node.pem", "node.key", {0}};
              cafe_tcp_options options = CAFE_TCP_OPTIONS_INIT;
              cafe_transport *transport;
              options.tls = &tls;
              return cafe_tcp_create(&transport, &options, NULL) == CAFE_UNSUPPORTED ? 0 : 1;
            }""", encoding="utf-8")
        run("cc", program, "-o", folder / "tls", "-I", ROOT / "include", "-L", folder / "lib", "-lcafe_tcp", "-lcafe",
            f"-Wl,-rpath,{folder / 'lib'}")
        run(folder / "tls")


if __name__ == "__main__":
    unittest.main()
