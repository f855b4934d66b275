defmodule Sidewinder.Lease.Line do
  @moduledoc """
  The stream of a lease: one process that hears and one that speaks, so that the lease itself never waits for either.

  The ear opens the stream and owns it: when it dies, the stream is cancelled. It is linked to the lease, so that none is
  left behind. The mouth sends what it is given, one at a time, and says so; what is to be sent while it still speaks is
  dropped, because a beat that is late is worth nothing.

  To the lease come `{:line, ear, {:message, to_client}}` and, once, `{:line, ear, {:closed, why}}`.
  """

  alias Sidewinder.{Client, Error}
  alias Sidewinder.Proto.ToClient

  @path "/sidewinder.v1.Clients/Attach"
  # For a connection. The lease itself gives up a little later.
  @wait_ms 9_000

  @type t :: %{ear: pid, mouth: pid | nil, speaking: boolean}

  @doc "Opens a stream and says hello. The caller traps exits."
  @spec open(Client.t(), iodata) :: t
  def open(client, hello) do
    lease = self()
    ear = :erlang.spawn_opt(fn -> hear(lease, client, hello) end, [:link, priority: :high])
    %{ear: ear, mouth: nil, speaking: false}
  end

  @doc "Says something, unless what was said before is not out yet."
  @spec say(t, iodata) :: t
  def say(%{mouth: mouth, speaking: false} = line, message) when is_pid(mouth) do
    send(mouth, {:say, message})
    %{line | speaking: true}
  end

  def say(line, _message), do: line

  @doc "Says the last word, and waits until the other side has hung up, or for so long."
  @spec say_goodbye(t, iodata, timeout) :: :ok
  def say_goodbye(%{mouth: nil, ear: ear} = line, message, wait) do
    receive do
      {:line, ^ear, {:open, mouth}} -> say_goodbye(%{line | mouth: mouth}, message, wait)
    after
      # It has not got through, and nobody has heard the hello either.
      0 -> hang_up(line)
    end
  end

  def say_goodbye(line, message, wait) do
    send(line.mouth, {:goodbye, message})
    ear = line.ear

    receive do
      {:line, ^ear, {:closed, _}} -> :ok
      {:EXIT, ^ear, _} -> :ok
    after
      wait -> :ok
    end

    hang_up(line)
  end

  @doc "Hangs up."
  @spec hang_up(nil | t) :: :ok
  def hang_up(nil), do: :ok

  def hang_up(%{ear: ear}) do
    Process.unlink(ear)
    Process.exit(ear, :kill)
    :ok
  end

  defp hear(lease, client, hello) do
    transport = client.transport

    with {:ok, stream} <- transport.open(client.channel, @path, [wait: @wait_ms] ++ only(client.at)),
         :ok <- transport.send(stream, hello) do
      ear = self()
      mouth = :erlang.spawn_opt(fn -> speak(lease, ear, transport, stream) end, [:link, priority: :high])
      send(lease, {:line, ear, {:open, mouth}})
      listen(lease, transport, stream)
      # An end in order takes nobody along, and it would wait for words for ever.
      Process.unlink(mouth)
      Process.exit(mouth, :kill)
    else
      {:error, status} -> send(lease, {:line, self(), {:closed, Error.from_status(status)}})
    end
  end

  # With several daemons a lease is held with one of them.
  defp only(nil), do: []
  defp only(address), do: [under: fn other -> if(other == address, do: {:ok, nil}, else: :none) end]

  defp listen(lease, transport, stream) do
    case transport.recv(stream, :infinity) do
      {:ok, data} ->
        case ToClient.decode(data) do
          {:ok, message} ->
            send(lease, {:line, self(), {:message, message}})
            listen(lease, transport, stream)

          {:error, what} ->
            send(lease, {:line, self(), {:closed, {:garbled, what}}})
        end

      {:end, _trailers} ->
        send(lease, {:line, self(), {:closed, :ended}})

      {:error, status} ->
        send(lease, {:line, self(), {:closed, Error.from_status(status)}})
    end
  end

  defp speak(lease, ear, transport, stream) do
    receive do
      {:say, message} ->
        _sent = transport.send(stream, message)
        send(lease, {:line, ear, :said})
        speak(lease, ear, transport, stream)

      {:goodbye, message} ->
        _sent = transport.send(stream, message)
        _finished = transport.finish(stream)
        speak(lease, ear, transport, stream)
    end
  end
end
