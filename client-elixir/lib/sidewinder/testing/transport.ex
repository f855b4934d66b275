defmodule Sidewinder.Testing.Transport do
  @moduledoc """
  What a client takes for a channel, with no connection behind it.

  It has the functions of `Sidewinder.Channel` that a client uses, and keeps their promises: a deadline ends a call, the
  death of a caller ends it too, a stream goes as fast as it is read, anybody may send and only the owner receives.
  """

  alias Sidewinder.Testing.{Runner, Standin}
  alias Sidewinder.Wire.Status

  @doc false
  def child_spec(options), do: %{id: __MODULE__, start: {Standin, :start_link, [options]}}

  @doc "One message there, one message back."
  @spec unary(GenServer.server(), String.t(), iodata, keyword) :: {:ok, binary, list} | {:error, Status.t()}
  def unary(channel, path, request, options) do
    with {:ok, stream} <- open(channel, path, [request: request] ++ options),
         {:ok, answer} <- recv(stream, options[:deadline] || :infinity),
         {:end, trailers} <- recv(stream, :infinity) do
      {:ok, answer, trailers}
    else
      {:end, _} -> {:error, Status.lost(:internal, "no message was answered", :client)}
      {:error, status} -> {:error, status}
    end
  end

  @doc "Opens a call with messages one by one."
  @spec open(GenServer.server(), String.t(), keyword) :: {:ok, map} | {:error, Status.t()}
  def open(channel, path, options) do
    {request, options} = Keyword.pop(options, :request)
    stream = Runner.start(channel, path, options)

    if request do
      :ok = __MODULE__.send(stream, request)
      :ok = finish(stream)
    end

    {:ok, stream}
  end

  @doc "Sends a message."
  @spec send(map, iodata) :: :ok | {:error, Status.t()}
  def send(%{runner: runner} = stream, message) do
    if Process.alive?(runner) do
      Kernel.send(runner, {:input, IO.iodata_to_binary(message)})
      :ok
    else
      {:error, gone(stream)}
    end
  end

  @doc "There are no more messages to send."
  @spec finish(map) :: :ok
  def finish(%{runner: runner}) do
    Kernel.send(runner, :inputs_ended)
    :ok
  end

  @doc "The next message, or the end."
  @spec recv(map, integer | :infinity) :: {:ok, binary} | {:end, list} | {:error, Status.t()}
  def recv(%{runner: runner} = stream, deadline) do
    monitor = Process.monitor(runner)
    Kernel.send(runner, {:pull, self(), monitor})
    deadline = min(deadline, stream.deadline)

    receive do
      {^monitor, answer} ->
        Process.demonitor(monitor, [:flush])
        answer

      {:DOWN, ^monitor, :process, _, _} ->
        {:error, gone(stream)}
    after
      if(deadline == :infinity, do: :infinity, else: max(deadline - System.monotonic_time(:millisecond), 0)) ->
        Process.demonitor(monitor, [:flush])
        cancel(stream)
        {:error, Status.lost(:deadline_exceeded, "the deadline passed", :client)}
    end
  end

  @doc "The next message, read by a module of the contract, as all that are there."
  @spec take(map, module, integer | :infinity) ::
          {:ok, [struct, ...]} | {:unreadable, String.t()} | {:end, list} | {:error, Status.t()}
  def take(stream, module, deadline) do
    with {:ok, message} <- recv(stream, deadline) do
      case module.decode(message) do
        {:ok, read} -> {:ok, [read]}
        {:error, what} -> {:unreadable, what}
      end
    end
  end

  @doc "Why there is no connection: there is one."
  @spec why(GenServer.server()) :: String.t()
  def why(_channel), do: ""

  @doc "Gives a call up."
  @spec cancel(map) :: :ok
  def cancel(%{runner: runner}) do
    Process.exit(runner, :kill)
    :ok
  end

  defp gone(_stream), do: Status.lost(:unavailable, "the connection broke", :transport)
end
