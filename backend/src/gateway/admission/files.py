"""Files that hold secrets. Errors name the variable and show neither content nor path: the path may be the secret."""

import stat
from pathlib import Path
from typing import Final

from src.gateway.settings import SettingError

MAX_FILE_BYTES: Final = 1 << 20


def content(variable: str, path: str) -> bytes:
    """The content of the file that the variable names.

    Raises:
        SettingError: there is no such file, or it cannot be used.
    """
    try:
        regular = stat.S_ISREG(Path(path).stat().st_mode)
        body = Path(path).read_bytes() if regular else b""  # a pipe would be waited for
    except FileNotFoundError:
        raise SettingError(f"{variable} names a file that does not exist") from None
    except OSError as error:
        raise SettingError(f"{variable} names a file that cannot be read: {error.strerror}") from None
    if not regular:
        raise SettingError(f"{variable} names something that is not a file")
    if not body.strip():
        raise SettingError(f"{variable} names a file that is empty")
    if len(body) > MAX_FILE_BYTES:
        raise SettingError(f"{variable} names a file of more than {MAX_FILE_BYTES} bytes")
    return body
