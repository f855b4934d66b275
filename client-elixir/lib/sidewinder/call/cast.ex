defmodule Sidewinder.Call.Cast do
  @moduledoc "Calls that nobody waits for: each in a process of its own, so many at a time."

  require Logger

  alias Sidewinder.{Client, Error, Telemetry}
  alias Sidewinder.Call.{Ask, Once}

  @doc "Begins one."
  @spec start(Ask.t()) :: :ok | {:error, Error.t()}
  def start(ask) do
    casts = Client.part(ask.client.name, :Casts)

    case Task.Supervisor.start_child(casts, fn -> run(ask) end, restart: :temporary) do
      {:ok, _pid} ->
        :ok

      {:error, :max_children} ->
        what = "#{ask.client.options.max_casts} casts are under way already (max_casts)"
        {:error, %{Ask.failure(ask, :too_many_casts, :resource_exhausted, what) | ran: :no}}
    end
  end

  defp run(ask) do
    with {:error, error} <- Once.call(ask) do
      Logger.warning("sidewinder: a cast of #{ask.tool} failed: #{Exception.message(error)}")
      shown = %{tool: ask.tool, pool: error.pool, reason: error.reason, error: error.message}
      Telemetry.emit(ask.client.sink, [:sidewinder, :cast, :failed], %{count: 1}, shown)
    end
  end
end
