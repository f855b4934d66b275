defmodule Sidewinder.Compat.Error do
  @moduledoc "An error in the shape that Snakepit gives it. See `Sidewinder.Compat`."

  @type category :: :worker | :timeout | :python_error | :grpc_error | :validation | :pool
  @type t :: %__MODULE__{
          category: category,
          message: String.t(),
          details: map,
          python_traceback: String.t() | nil,
          grpc_status: atom | nil
        }

  @enforce_keys [:category, :message, :details]
  defexception [:category, :message, :python_traceback, :grpc_status, details: %{}]

  @known %{
    raised: {:python_error, nil},
    cancelled: {:python_error, nil},
    deadline_passed: {:timeout, :queue_timeout},
    deadline_exceeded: {:timeout, :worker_timeout},
    queue_full: {:pool, :pool_saturated},
    client_limit: {:pool, :pool_saturated},
    affinity_busy: {:pool, :worker_busy},
    busy: {:pool, :worker_busy},
    affinity_lost: {:pool, :session_worker_unavailable},
    unknown_pool: {:pool, :pool_not_found},
    fatal: {:pool, :no_workers_available},
    unfit: {:pool, :no_workers_available},
    draining: {:pool, :no_workers_available},
    stopping: {:pool, :no_workers_available},
    not_attached: {:pool, :pool_not_initialized},
    worker_died: {:worker, :worker_exit},
    out_of_memory: {:worker, :worker_exit},
    sibling_overdue: {:worker, :worker_exit},
    drained: {:worker, :worker_exit}
  }
  @asked_wrongly ~w(unknown_tool bad_arguments bad_payload bad_content_type not_a_stream bad_request bad_timeout too_large
                    unencodable undecodable)a

  @doc "What Snakepit would have said."
  @spec from(Sidewinder.Error.t(), String.t()) :: t
  def from(%Sidewinder.Error{} = error, command) do
    {category, reason} = kind(error.reason)

    %__MODULE__{
      category: category,
      message: error.message,
      details: details(error, command, reason),
      python_traceback: error.traceback,
      grpc_status: if(category == :grpc_error, do: error.code)
    }
  end

  defp kind(reason) when is_map_key(@known, reason), do: Map.fetch!(@known, reason)
  defp kind(reason) when reason in @asked_wrongly, do: {:validation, reason}
  defp kind(reason), do: {:grpc_error, reason}

  defp details(error, command, reason) do
    %{command: command, sidewinder: error}
    |> put(:reason, reason)
    |> put(:exception_type, error.exception)
    |> put(:worker_id, error.worker)
    |> put(:exit_reason, exit_reason(error))
  end

  defp put(details, _key, nil), do: details
  defp put(details, key, value), do: Map.put(details, key, value)

  defp exit_reason(%{signal: signal}) when signal != nil, do: {:signal, signal}
  defp exit_reason(%{exit_status: status}) when status != nil, do: {:exit_status, status}
  defp exit_reason(_error), do: nil
end
