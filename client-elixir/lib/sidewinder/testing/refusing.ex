defmodule Sidewinder.Testing.Refusing do
  @moduledoc "From an error to the status that a daemon would have sent, details and all."

  alias Sidewinder.{Error, Proto}
  alias Sidewinder.Proto.Google.Any
  alias Sidewinder.Proto.Google.Rpc.{DebugInfo, ErrorInfo, RetryInfo}
  alias Sidewinder.Wire.Status

  @doc "The status."
  @spec status(Error.t()) :: Status.t()
  def status(%Error{} = error) do
    code = Error.code_number(if error.code == :unknown, do: usual(error.reason), else: error.code)
    packed = %Proto.Google.Rpc.Status{code: code, message: error.message, details: details(error)}

    %Status{
      code: code,
      message: error.message,
      details: IO.iodata_to_binary(Proto.Google.Rpc.Status.encode(packed)),
      sent: :maybe,
      origin: :peer
    }
  end

  defp usual(reason) when reason in [:queue_full, :client_limit, :affinity_busy, :out_of_memory, :too_many_clients],
    do: :resource_exhausted

  defp usual(reason) when reason in [:draining, :stopping, :busy], do: :unavailable
  defp usual(reason) when reason in [:unknown_tool, :unknown_pool, :unknown_key], do: :not_found
  defp usual(reason) when reason in [:bad_arguments, :bad_payload, :bad_request], do: :invalid_argument
  defp usual(reason) when reason in [:deadline_exceeded, :deadline_passed], do: :deadline_exceeded
  defp usual(:worker_died), do: :internal

  defp usual(reason) when reason in [:lease_expired, :stale_epoch, :lease_required, :other_mode],
    do: :failed_precondition

  defp usual(_reason), do: :unknown

  defp details(error) do
    [any("ErrorInfo", %ErrorInfo{reason: Error.word(error.reason), domain: "sidewinder", metadata: facts(error)})]
    |> Enum.concat(retry(error.retry_after))
    |> Enum.concat(debug(error))
  end

  defp facts(error) do
    known = [:pool, :tool, :worker, :exit_status, :signal, :exception, :field]

    for key <- known, value = Map.fetch!(error, key), into: %{"ran" => Atom.to_string(error.ran)} do
      {Atom.to_string(key), to_string(value)}
    end
  end

  defp retry(nil), do: []

  defp retry(ms) do
    delay = %Proto.Google.Duration{seconds: div(ms, 1000), nanos: rem(ms, 1000) * 1_000_000}
    [any("RetryInfo", %RetryInfo{retry_delay: delay})]
  end

  defp debug(%{traceback: nil, detail: nil}), do: []

  defp debug(error) do
    lines = if error.traceback, do: String.split(error.traceback, "\n"), else: []
    [any("DebugInfo", %DebugInfo{stack_entries: lines, detail: error.detail || ""})]
  end

  defp any(name, %module{} = message),
    do: %Any{type_url: "type.googleapis.com/google.rpc.#{name}", value: IO.iodata_to_binary(module.encode(message))}
end
