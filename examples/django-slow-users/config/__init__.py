"""MySQL and MariaDB are reached through PyMySQL."""

import pymysql

pymysql.install_as_MySQLdb()
