defmodule Sidewinder.Channel.Health do
  @moduledoc """
  Watches one address through one of its connections, by `grpc.health.v1.Health/Watch`, and tells the channel whether it
  wants calls.

  A process of its own, because a watch never ends while all is well. It ends with the connection, and the next connection
  gets another one. A server that does not know the service of health, or does not know how the service that was asked for
  is, is taken for healthy: what cannot be watched must not take an address away.
  """

  alias Sidewinder.Channel.Stream
  alias Sidewinder.Wire.{Grpc, Status}

  @path "/grpc.health.v1.Health/Watch"
  # ServingStatus.
  @not_serving 2

  @doc "Watches the service on a connection. The owner hears `{:health, connection, :serving | :not_serving}`."
  @spec start_link(pid, pid, String.t()) :: {:ok, pid}
  def start_link(owner, connection, service), do: Task.start_link(fn -> watch(owner, connection, service) end)

  defp watch(owner, connection, service) do
    {pieces, size} = Grpc.frame(question(service))

    request = %{
      path: @path,
      pieces: pieces,
      size: size,
      fin: true,
      metadata: [],
      deadline: :infinity,
      max: 1_024,
      window: 65_535,
      uncounted: true,
      fuse: {nil, nil, nil}
    }

    case Stream.open(connection, request, :infinity) do
      {:ok, stream} -> listen(owner, connection, stream)
      {_, _} -> :ok
    end
  end

  defp listen(owner, connection, stream) do
    case Stream.recv(stream, :infinity) do
      {:ok, answer} ->
        tell(owner, connection, if(status(answer) == @not_serving, do: :not_serving, else: :serving))
        listen(owner, connection, stream)

      {:error, %Status{origin: :peer}} ->
        tell(owner, connection, :serving)

      _ ->
        :ok
    end
  end

  defp tell(owner, connection, health), do: send(owner, {:health, connection, health})

  defp question(""), do: ""
  defp question(service) when byte_size(service) < 128, do: <<0x0A, byte_size(service), service::binary>>

  # The one field: a number in one byte.
  defp status(<<0x08, status, _::binary>>), do: status
  defp status(_), do: 0
end
