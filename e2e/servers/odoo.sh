#!/bin/sh
# Odoo and its PostgreSQL, inside the folder that chroot.sh makes; what they keep is in /srv/hearth.
#
#   odoo.sh init VERSION                   makes the database demo and login.json
#   odoo.sh run VERSION PORT GEVENT_PORT   serves it on 127.0.0.1 until killed
#
# PostgreSQL listens on a Unix socket only, and saves nothing safely: a database lives as long as one test run.
set -eu
verb=$1 version=$2
shift 2
cd /srv/hearth
pg=$(echo /usr/lib/postgresql/*/bin)
if [ "$version" -ge 19 ]; then
	with_demo=--without-demo=False gevent=--gevent-port
else
	with_demo= gevent=--longpolling-port # with demo data unless told otherwise
fi

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
	odoo --init=base --load-language=en_US,es_ES ${with_demo:+"$with_demo"} --stop-after-init
	# Only a superuser may make a key that lives this long. Odoo 14's keys do not end.
	odoo shell --no-http >key.out <<-'PYTHON'
		import datetime, json, odoo
		def login(user):
		    ends = [datetime.datetime(2099, 1, 1)] if odoo.release.version_info[0] >= 18 else []
		    key = env(user=user.id, su=True)["res.users.apikeys"]._generate("rpc", "hearth", *ends)
		    return {"uid": user.id, "user": user.login, "password": user.login, "api_key": key}
		admin = env.ref("base.user_admin")
		maria = env["res.users"].create({"name": "María", "login": "maria", "password": "maria", "lang": "es_ES"})
		logins = {"admin": login(admin), "employee": login(maria)}
		env.cr.commit()
		print("login " + json.dumps(logins))
	PYTHON
	sed -n 's/^.*login {/{/p' key.out >login.json
	rm key.out
	as postgres $pg/pg_ctl stop --wait --silent --pgdata=/srv/hearth/pg
}

case $verb in
init) init ;;
run)
	start_postgres
	# Not exec: a change of user would clear the signal that ends pid 1 with the test process.
	odoo --workers=2 --max-cron-threads=0 --proxy-mode --no-database-list \
		--http-interface=127.0.0.1 --http-port="$1" "$gevent=$2"
	;;
*) exit 2 ;;
esac
