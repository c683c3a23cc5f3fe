# /opt/entrypoint: the program with its own interpreter, in one folder, for images without Python.
#
#   docker build -t pg-entrypoint:standalone -f docker/standalone.Dockerfile .
#
# One line brings it into any image of glibc 2.36 or later (Debian 12, Ubuntu 24.04 and their heirs):
#
#   COPY --from=pg-entrypoint:standalone /opt/entrypoint /opt/entrypoint
#   ENTRYPOINT ["/opt/entrypoint/entrypoint", "run", "--"]
#
# The folder is read, never written: it works on a read-only root, as any user, without HOME and with
# a noexec /tmp. It carries SQLite, libpq, OpenSSL and the time zones; it carries no certificates: with
# `sslrootcert=system` those of the image are used (SSL_CERT_FILE), else name a file in `sslrootcert`.
#
# Built on Debian 12, because a program runs on the glibc it was linked with and on later ones.

FROM python:3.11-slim-bookworm AS freeze
# objdump and strip for PyInstaller; a Python that comes from Debian keeps its shared library in a package.
RUN apt-get update \
 && apt-get install -y --no-install-recommends binutils \
      $(python3 -c 'import sys; print("libpython3.11" if sys.base_prefix == "/usr" else "")') \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY requirements/freeze.txt requirements/runtime.txt requirements/
RUN python3 -m venv /opt/venv \
 && /opt/venv/bin/pip --disable-pip-version-check install --quiet --no-cache-dir \
      --require-hashes -r requirements/freeze.txt -r requirements/runtime.txt
COPY docker/freeze docker/freeze
COPY entrypoint entrypoint
RUN /opt/venv/bin/pyinstaller --log-level ERROR --distpath /opt --workpath /tmp/work docker/freeze/entrypoint.spec \
 && /opt/entrypoint/entrypoint --version

FROM scratch
COPY --from=freeze /opt/entrypoint /opt/entrypoint
ENTRYPOINT ["/opt/entrypoint/entrypoint", "run", "--"]
