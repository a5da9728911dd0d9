"""Makes each call that the client has, at least once, and measures an operation that fails and a slow one."""

from hearth import HearthError, default_client, log_performance_data, time_operation, time_operation_with_metrics
from parallel_utils import get_message_history_parallel, get_relevant_messages_parallel, parallel_preprocessing


@time_operation
def failing_operation():
    raise ValueError("this operation always fails")


@time_operation_with_metrics("lambda_handler_total")
def handler(event, context):
    chat_id, hearth = event["chat_id"], default_client()
    calls = [
        failing_operation,
        lambda: parallel_preprocessing(chat_id, "Hello", "odoo_erp", enable_odoo=True),
        lambda: get_message_history_parallel(chat_id),
        lambda: get_relevant_messages_parallel(chat_id, "Hello"),
        lambda: hearth.mute(chat_id),
        lambda: hearth.set_mute(chat_id, False),
        lambda: hearth.append(chat_id, {"role": "user", "content": "Hello"}),
        lambda: hearth.odoo_models(),
        lambda: hearth.odoo_call("res.partner", "search_count", [[]]),
        lambda: hearth.batch([{"method": "GET", "path": hearth.chat_path(chat_id, "mute")}]),
        lambda: hearth.fetch("https://not-allowed.example"),
        lambda: hearth.job("unknown"),
        lambda: hearth.drop_cache(),
    ]
    for call in calls:
        try:
            call()
        except (HearthError, ValueError) as problem:
            print(f"{problem}")
    log_performance_data("slow_operation", 1500)
    return "done"
