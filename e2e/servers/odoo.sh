#!/bin/sh
# Odoo and its PostgreSQL, inside the folder that chroot.sh makes; what they keep is in /srv/hearth.
#
#   odoo.sh init                   makes the database demo and login.json
#   odoo.sh run PORT GEVENT_PORT   serves it on 127.0.0.1 until killed
#
# PostgreSQL listens on a Unix socket only, and saves nothing safely: a database lives as long as one test run.
set -eu
cd /srv/hearth
pg=/usr/lib/postgresql/17/bin

as() {
	user=$1
	shift
	setpriv --reuid="$user" --regid="$user" --init-groups "$@"
}

odoo() {
	as odoo /usr/bin/odoo "$@" --config=/dev/null --data-dir=/srv/hearth/odoo --database=demo --db_user=odoo
}

start_postgres() {
	install -d -o postgres -g postgres /run/postgresql
	as postgres $pg/pg_ctl start --wait --silent --pgdata=/srv/hearth/pg --options="-c listen_addresses= \
		-c unix_socket_directories=/run/postgresql -c fsync=off -c full_page_writes=off -c synchronous_commit=off"
}

init() {
	install -d -m 700 -o postgres -g postgres pg
	install -d -m 700 -o odoo -g odoo odoo
	as postgres $pg/initdb --pgdata=/srv/hearth/pg --auth=peer --encoding=UTF8 --locale=C.UTF-8 --no-sync
	start_postgres
	as postgres $pg/createuser --createdb odoo
	odoo --init=base --without-demo=False --stop-after-init
	# Only an administrator's key may live this long.
	odoo shell --no-http >key.out <<-'PYTHON'
		import datetime, json
		admin = env.ref("base.user_admin")
		key = env(user=admin)["res.users.apikeys"]._generate("rpc", "hearth", datetime.datetime(2099, 1, 1))
		env.cr.commit()
		print("login " + json.dumps({"uid": admin.id, "api_key": key}))
	PYTHON
	sed -n 's/^.*login {/{/p' key.out >login.json
	rm key.out
	as postgres $pg/pg_ctl stop --wait --silent --pgdata=/srv/hearth/pg
}

verb=$1
shift
case $verb in
init) init ;;
run)
	start_postgres
	# Not exec: a change of user would clear the signal that ends pid 1 with the test process.
	odoo --workers=2 --max-cron-threads=0 --proxy-mode --no-database-list \
		--http-interface=127.0.0.1 --http-port="$1" --gevent-port="$2"
	;;
*) exit 2 ;;
esac
